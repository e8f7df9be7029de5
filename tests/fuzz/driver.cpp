// SPDX-License-Identifier: MIT
// Runs the body of a fuzzer where there is no libFuzzer: inputs from a generator, for as many
// seconds as ZCPOOL_FUZZ_SECONDS says. It finds less, as nothing tells it which inputs are new; it
// needs only a compiler. `driver FILE...` runs those inputs instead.
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "input.hpp"

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        std::ifstream file{argv[i], std::ios::binary};
        const std::vector<char> bytes{std::istreambuf_iterator<char>{file}, {}};
        LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    }
    if (argc > 1) {
        return 0;
    }
    const char* const text = std::getenv("ZCPOOL_FUZZ_SECONDS");
    const std::chrono::seconds length{text == nullptr ? 5 : std::atol(text)};
    const char* const chosen = std::getenv("ZCPOOL_FUZZ_SEED");
    const auto seed = chosen == nullptr ? std::random_device{}()
                                        : static_cast<unsigned>(std::strtoul(chosen, nullptr, 10));
    std::printf("seed %u\n", seed);
    std::fflush(stdout);  // it may be the last that is seen
    std::mt19937_64 random{seed};
    const auto end = std::chrono::steady_clock::now() + length;
    unsigned long inputs = 0;
    std::array<std::uint8_t, 512> bytes{};
    do {
        const std::size_t size = random() % (bytes.size() + 1);
        for (std::size_t i = 0; i < size; ++i) {
            // Small numbers are what sizes and indices are made of.
            const auto next = static_cast<std::uint8_t>(random());
            bytes[i] = random() % 3 == 0 ? static_cast<std::uint8_t>(next % 5) : next;
        }
        LLVMFuzzerTestOneInput(bytes.data(), size);
        ++inputs;
    } while (std::chrono::steady_clock::now() < end);
    std::printf("%lu inputs\n", inputs);
    return inputs > 10 ? 0 : 1;
}
