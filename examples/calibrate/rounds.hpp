// SPDX-License-Identifier: MIT
#pragma once

// What paired rounds of two ways came to, and whether that decides anything.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace calibrate {

/// The middle of some numbers and half of them around it.
struct quartiles {
    double low = 0;
    double median = 0;
    double high = 0;
};

/// Expects: at least one number.
[[nodiscard]] quartiles quartiles_of(std::vector<double> numbers);

enum class verdict : std::uint8_t {
    cheaper,
    dearer,
    equal,      ///< within a tenth
    undecided,  ///< the rounds came too far apart to tell
    not_measured,
};

/// Rounds of a way and its baseline, measured in turns. Drift that is even over a round cancels out
/// of its ratio.
class rounds {
public:
    static constexpr std::size_t enough = 3;

    /// Nanoseconds of processor time a byte.
    void add(double subject, double baseline);

    [[nodiscard]] std::size_t count() const noexcept { return ratios_.size(); }
    /// Expects: count() != 0.
    [[nodiscard]] quartiles ratio() const { return quartiles_of(ratios_); }
    /// The median of the baseline. Expects: count() != 0.
    [[nodiscard]] double baseline() const { return quartiles_of(baselines_).median; }
    /// What the way itself costs. Expects: count() != 0.
    [[nodiscard]] double subject() const { return baseline() * ratio().median; }

    /// Whether the way costs less, given how far two equal ways came apart here.
    [[nodiscard]] verdict compare(const rounds& noise) const;

private:
    std::vector<double> ratios_;
    std::vector<double> baselines_;
};

}  // namespace calibrate
