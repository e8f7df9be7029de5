// SPDX-License-Identifier: MIT
// A head that an ostream writes into a slot, and that an istream reads there again.
#include <iostream>
#include <string>

#include <zcpool/adapt/chain_iostream.hpp>
#include <zcpool/zcpool.hpp>

int main() {
    using namespace zcpool::literals;
    auto pool = zcpool::pool<zcpool::size_classes<4_KiB>>::create({.slots = {4}}).value();

    zcpool::writer to{pool};
    zcpool::adapt::writer_ostream out{to};
    out << "Content-Length: " << 48'000 << "\r\n\r\n";
    if (!out) {
        std::cerr << "no room for it: " << out.error().message() << '\n';
        return 1;
    }
    const zcpool::chain head = out.finish();

    zcpool::reader from{head};
    zcpool::adapt::reader_istream in{from};
    std::string name;
    std::size_t length = 0;
    in >> name >> length;
    std::cout << name << ' ' << length << '\n';
    return length == 48'000 ? 0 : 1;
}
