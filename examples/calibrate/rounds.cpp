// SPDX-License-Identifier: MIT
#include <calibrate/rounds.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace calibrate {
namespace {

constexpr double tenth = 0.1;

}  // namespace

quartiles quartiles_of(std::vector<double> numbers) {
    std::sort(numbers.begin(), numbers.end());
    const auto at = [&](double part) {
        const double place = part * static_cast<double>(numbers.size() - 1);
        const auto before = static_cast<std::size_t>(place);
        const std::size_t behind = std::min(before + 1, numbers.size() - 1);
        const double rest = place - static_cast<double>(before);
        return numbers[before] * (1 - rest) + numbers[behind] * rest;
    };
    return {at(0.25), at(0.5), at(0.75)};
}

void rounds::add(double subject, double baseline) {
    ratios_.push_back(subject / baseline);
    baselines_.push_back(baseline);
}

verdict rounds::compare(const rounds& noise) const {
    if (count() < enough || noise.count() < enough) {
        return verdict::not_measured;
    }
    const quartiles equal = noise.ratio();
    const double apart = std::max(std::abs(equal.low - 1), std::abs(equal.high - 1));
    const quartiles mine = ratio();
    if (mine.high < 1 && mine.median < 1 - apart) {
        return verdict::cheaper;
    }
    if (mine.low > 1 && mine.median > 1 + apart) {
        return verdict::dearer;
    }
    const bool is_close = apart < tenth && mine.low > 1 - tenth && mine.high < 1 + tenth;
    return is_close ? verdict::equal : verdict::undecided;
}

}  // namespace calibrate
