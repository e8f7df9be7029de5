// SPDX-License-Identifier: MIT
// expect-error: size_classes: more than 16 classes; a descriptor has 4 bits for them
// The seventeenth class would have no number.
#include <utility>

#include <zcpool/pool/size_classes.hpp>

template <std::size_t... I>
zcpool::size_classes<(I + 1) * zcpool::page_size...> of_pages(std::index_sequence<I...>);

#ifdef ZCPOOL_EXPECT_FAIL
constexpr std::size_t wanted = 17;
#else
constexpr std::size_t wanted = 16;
#endif
using classes = decltype(of_pages(std::make_index_sequence<wanted>{}));
static_assert(classes::count == wanted);
