// SPDX-License-Identifier: MIT
#pragma once

// Whether a history could have come from operations that each took effect at one moment.
//
// The search of Wing and Gong with Lowe's memory: take an operation that no other one precedes, try
// it on the sequential model, go on with the rest, step back where that ends nowhere, and never try
// the same rest from the same state twice.
// Source: J. M. Wing, C. Gong, "Testing and Verifying Concurrent Objects", JPDC 17 (1993);
// G. Lowe, "Testing for Linearizability", Concurrency and Computation 29 (2017).

#include <algorithm>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <tuple>
#include <unordered_set>
#include <utility>
#include <vector>

#include "history.hpp"

namespace zcpool_test {

/// State of a model: a queue, a sorted set or a flag. A string, because that can be hashed.
using model_state = std::u32string;

/// A sequential object: whether an operation is possible in a state, and what the state is then.
template <class Model>
concept sequential_model = requires(const Model model, const operation& one, model_state& state) {
    { model.initial() } -> std::same_as<model_state>;
    { model.step(one, state) } -> std::same_as<bool>;
};

/// One slot of a pool. `exhausted` is one was_full for every slot: each was in use at a moment of
/// its own in the call, which is what a sweep of the slot words can promise.
struct slot_model {
    [[nodiscard]] model_state initial() const { return model_state(1, U'f'); }
    [[nodiscard]] bool step(const operation& one, model_state& state) const {
        const bool free = state.front() == U'f';
        switch (one.what) {
            case act::acquire: state.front() = U'h'; return free;
            case act::release: state.front() = U'f'; return !free;
            case act::was_full: return !free;
            default: return false;
        }
    }
};

/// A free store: a set. A pop that overlaps nothing takes the lowest, and finds what is there.
struct set_model {
    [[nodiscard]] model_state initial() const { return {}; }
    [[nodiscard]] bool step(const operation& one, model_state& state) const {
        const auto at = std::lower_bound(state.begin(), state.end(), char32_t{one.value});
        const bool present = at != state.end() && *at == one.value;
        switch (one.what) {
            case act::push:
                if (!present) {
                    state.insert(at, char32_t{one.value});
                }
                return true;
            case act::pop:
                if (!present || (one.beside == 0 && at != state.begin())) {
                    return false;
                }
                state.erase(at);
                return true;
            case act::pop_none: return state.empty() || one.beside != 0;
            default: return false;
        }
    }
};

/// A ring that does not go round: a queue, in which a push that overlaps a pop may be passed by
/// (its writer had not come yet) and is then not seen again before a lap later.
struct queue_model {
    std::size_t capacity = 0;

    [[nodiscard]] model_state initial() const { return {}; }
    [[nodiscard]] bool step(const operation& one, model_state& state) const {
        switch (one.what) {
            case act::push: state.push_back(char32_t{one.value}); return state.size() <= capacity;
            case act::push_lost: return (one.beside & (bit(act::pop) | bit(act::pop_none))) != 0;
            case act::refused: return state.size() == capacity;
            case act::pop:
                if (state.empty() || state.front() != one.value) {
                    return false;
                }
                state.erase(0, 1);
                return true;
            case act::pop_none: return state.empty();
            default: return false;
        }
    }
};

/// The search over one history.
template <sequential_model Model>
class linearization {
public:
    static constexpr std::size_t longest = 256;

    linearization(const Model& model, const history& all) : model_(model), all_(all) {
        // Each operation is two events; at the same moment calls come before returns.
        for (std::size_t i = 0; i < all.size(); ++i) {
            events_.push_back({all[i].begin, i, true});
            events_.push_back({all[i].end, i, false});
        }
        std::sort(events_.begin(), events_.end(), [](const event& a, const event& b) {
            return std::tuple{a.time, !a.is_call, a.operation} <
                   std::tuple{b.time, !b.is_call, b.operation};
        });
        returns_.resize(all.size());
        // A list from 1 to size(); 0 is its head and its end.
        for (std::size_t i = 0; i <= events_.size(); ++i) {
            next_.push_back(i == events_.size() ? 0 : i + 1);
            previous_.push_back(i == 0 ? events_.size() : i - 1);
            if (i != 0 && !events_[i - 1].is_call) {
                returns_[events_[i - 1].operation] = i;
            }
        }
    }

    /// Returns: whether there is an order of the operations that the model allows.
    [[nodiscard]] bool exists() {
        if (all_.size() > longest) {
            return false;
        }
        model_state state = model_.initial();
        rest done;
        for (std::size_t at = next_[0]; next_[0] != 0;) {
            // The end of the list cannot be met: a return stands before it.
            const event& here = events_[at - 1];
            if (!here.is_call) {
                if (taken_.empty()) {
                    return false;
                }
                at = taken_.back().at;
                state = std::move(taken_.back().before);
                taken_.pop_back();
                done.reset(events_[at - 1].operation);
                put_back(returns_[events_[at - 1].operation]);
                put_back(at);
                at = next_[at];
                continue;
            }
            model_state after = state;
            rest with = done;
            with.set(here.operation);
            if (model_.step(all_[here.operation], after) && seen_.emplace(with, after).second) {
                taken_.push_back({at, std::exchange(state, std::move(after))});
                done = with;
                take_out(at);
                take_out(returns_[here.operation]);
                at = next_[0];
            } else {
                at = next_[at];
            }
        }
        return true;
    }

private:
    using rest = std::bitset<longest>;
    struct event {
        std::uint64_t time;
        std::size_t operation;
        bool is_call;
    };
    struct step_taken {
        std::size_t at;
        model_state before;
    };
    struct hash {
        std::size_t operator()(const std::pair<rest, model_state>& from) const noexcept {
            return std::hash<rest>{}(from.first) * 31 + std::hash<model_state>{}(from.second);
        }
    };

    void take_out(std::size_t at) {
        next_[previous_[at]] = next_[at];
        previous_[next_[at]] = previous_[at];
    }
    void put_back(std::size_t at) {
        next_[previous_[at]] = at;
        previous_[next_[at]] = at;
    }

    const Model& model_;
    const history& all_;
    std::vector<event> events_;
    std::vector<std::size_t> returns_;
    std::vector<std::size_t> next_;
    std::vector<std::size_t> previous_;
    std::vector<step_taken> taken_;
    std::unordered_set<std::pair<rest, model_state>, hash> seen_;
};

/// Whether a history is one of the model. Fills in its overlaps.
template <sequential_model Model>
[[nodiscard]] bool is_linearizable(const Model& model, history all) {
    mark_overlaps(all);
    return linearization<Model>{model, all}.exists();
}

/// Whether the history of a pool of so many slots is linearizable slot by slot: a history is if
/// those of its objects are (Herlihy and Wing, "locality").
[[nodiscard]] inline bool is_linearizable_pool(std::uint32_t slots, const history& all) {
    for (std::uint32_t slot = 0; slot < slots; ++slot) {
        history own;
        std::copy_if(all.begin(), all.end(), std::back_inserter(own), [slot](const operation& one) {
            return one.what == act::was_full || one.value == slot;
        });
        if (!is_linearizable(slot_model{}, std::move(own))) {
            return false;
        }
    }
    return std::all_of(all.begin(), all.end(), [slots](const operation& one) {
        return one.what == act::was_full || one.value < slots;
    });
}

}  // namespace zcpool_test
