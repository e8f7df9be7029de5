#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Breaks the lock-free headers one step or memory order at a time; the models must see each break.

usage: mutants.py --include DIR --relacy DIR --compiler CXX [--runs N] [--jobs N]
                  [--sample N [--seed N]] [NAME...]

A mutant is an edit of a copy of a header. Its old text must stand there exactly once, so that the
list cannot outlive what it is about. A mutant that no model can see stands in the list with the
reason why it changes nothing that is promised.
"""

import argparse
import concurrent.futures
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
RUNS = 300_000

STORE = "ring/free_store.hpp"
RING = "ring/index_ring.hpp"
STACK = "ring/index_stack.hpp"
WORD = "pool/slot_word.hpp"
STATUS = "pool/slot_status.hpp"
WAITING = "pool/waiting.hpp"
GATE = "pool/owner_gate.hpp"
REGISTRY = "pool/process_registry.hpp"
RECOVERY = "pool/class_recovery.hpp"
CURSOR = "pool/arena_cursor.hpp"
MESSAGES = "ring/spsc_ring.hpp"
FLAG = "ipc/wake_flag.hpp"
BYTES = "ring/byte_ring.hpp"
SLEEP = "ipc/sleep_word.hpp"


def edit(header, old, new):
    return header, old, new


class Mutant:
    """Edits, and the model with those of its cases that are to see them."""

    def __init__(self, name, model, cases, *edits, control=False):
        self.name, self.model, self.cases, self.edits = name, model, cases.split(), edits
        self.control = control  # not a mutant, but what another one starts from: must be clean


class Equivalent:
    """Edits that no model sees, and why that is right."""

    def __init__(self, name, reason, *edits):
        self.name, self.reason, self.edits = name, reason, edits


# A sweep and a drop without the single order of all seq_cst operations. For a waiter that has been
# counted before the release, the ticket alone must do: only so is its own order seen, because the
# single order hides it from Relacy, which runs loads in the order of the program.
COUNTED_ONLY = [
    edit(WORD, "encode(after), memory_order_seq_cst", "encode(after), memory_order_acq_rel"),
    edit(WORD, "decode(word_.load(memory_order_seq_cst))",
         "decode(word_.load(memory_order_acquire))"),
]

MUTANTS = [
    # ---- the free store
    Mutant("store: announce relaxed", "bitmap_store", "two_leaves n2",
           edit(STORE, "<< (leaf % 64), memory_order_release)",
                "<< (leaf % 64), memory_order_relaxed)")),
    Mutant("store: retract relaxed", "bitmap_store", "two_leaves n2",
           edit(STORE, "<< (leaf % 64)), memory_order_acquire)",
                "<< (leaf % 64)), memory_order_relaxed)")),
    Mutant("store: retract does not look again", "bitmap_store", "n2",
           edit(STORE, "        // relaxed: ordered behind the acquire above.\n"
                       "        if (leaf_at(leaf).load(memory_order_relaxed) != 0) {",
                "        if (false) {")),
    Mutant("store: retract looks before it clears", "bitmap_store", "n2",
           edit(STORE, "        summaries_[leaf / 64].fetch_and(",
                "        const bool some = leaf_at(leaf).load(memory_order_relaxed) != 0;\n"
                "        summaries_[leaf / 64].fetch_and("),
           edit(STORE, "        // relaxed: ordered behind the acquire above.\n"
                       "        if (leaf_at(leaf).load(memory_order_relaxed) != 0) {",
                "        if (some) {")),
    Mutant("store: push announces nothing", "bitmap_store", "n1",
           edit(STORE, "fetch_or(bits, memory_order_relaxed) == 0",
                "fetch_or(bits, memory_order_relaxed) == 1")),
    Mutant("store: push in two steps", "bitmap_store", "n2",
           edit(STORE, "leaf_at(leaf).fetch_or(bits, memory_order_relaxed) == 0",
                "[&] { auto now = leaf_at(leaf).load(memory_order_relaxed);"
                " leaf_at(leaf).store(now | bits, memory_order_relaxed); return now; }() == 0")),
    Mutant("store: pop in two steps", "bitmap_store", "n2",
           edit(STORE, "leaf_at(leaf).fetch_and(~wanted, memory_order_relaxed)",
                "[&] { auto now = leaf_at(leaf).load(memory_order_relaxed);"
                " leaf_at(leaf).store(now & ~wanted, memory_order_relaxed); return now; }()")),
    Mutant("store: pop takes what another took", "bitmap_store", "n1",
           edit(STORE, "taken = before & wanted", "taken = wanted")),
    Mutant("store: pop clears more than it takes", "bitmap_store", "batches",
           edit(STORE, "fetch_and(~wanted, memory_order_relaxed)",
                "fetch_and(~bits, memory_order_relaxed)")),
    Mutant("store: rebuild does nothing", "bitmap_store", "deaths",
           edit(STORE, "            if (leaf_at(leaf).load(memory_order_relaxed) != 0) {",
                "            if (false) {")),

    # ---- the ring; all its orders are relaxed
    Mutant("ring: push overwrites", "index_ring", "n2 n4",
           edit(RING, "        while (!mine.compare_exchange_strong(found, ready | (index + 1), "
                      "memory_order_relaxed,\n"
                      "                                             memory_order_relaxed)) {",
                "        mine.store(ready | (index + 1), memory_order_relaxed);\n"
                "        while (false) {")),
    Mutant("ring: a writer overwrites what a late reader left", "index_ring", "search_late_reader",
           edit(RING, "                return put_outcome::taken;", "                continue;")),
    Mutant("ring: a writer does not see that its reader went by", "index_ring",
           "search_late_writer",
           edit(RING, "                return put_outcome::passed;", "                continue;")),
    Mutant("ring: a reader leaves no later lap", "index_ring", "search_late_writer",
           edit(RING, "exchange(ready_for(head + cells_.size()), memory_order_relaxed)",
                "exchange(ready_for(head), memory_order_relaxed)")),
    Mutant("ring: laps compared as numbers", "index_ring", "search_late_writer_wrap",
           edit(RING, "static_cast<std::int32_t>((found >> 32) - (ready >> 32)) > 0",
                "(found >> 32) > (ready >> 32)")),
    Mutant("ring: pop leaves the content", "index_ring", "n2",
           edit(RING, "exchange(ready_for(head + cells_.size()), memory_order_relaxed)",
                "load(memory_order_relaxed)")),
    Mutant("ring: pop in two steps", "index_ring", "n2 n4",
           edit(RING, "            const std::uint64_t found =\n"
                      "                cell_of(head).exchange(ready_for(head + cells_.size()), "
                      "memory_order_relaxed);",
                "            const std::uint64_t found = cell_of(head).load(memory_order_relaxed);"
                " cell_of(head).store(ready_for(head + cells_.size()), memory_order_relaxed);")),
    Mutant("ring: pop drops what is of another lap", "index_ring", "n2 n4",
           edit(RING, "if (index_in(found) != 0) {\n                return index_in(found) - 1;",
                "if (index_in(found) != 0 && found >> 32 == ready_for(head) >> 32) {\n"
                "                return index_in(found) - 1;")),
    Mutant("ring: pop goes beyond the tail", "index_ring", "search_full search_in_order n2",
           edit(RING, "if (waiting <= 0) {", "if (waiting == 0) {")),
    Mutant("ring: positions compared as numbers", "index_ring", "wrap",
           edit(RING, "if (waiting <= 0) {", "if (tail <= head) {")),
    Mutant("ring: positions compared as signed numbers", "index_ring", "wrap_sign",
           edit(RING, "if (waiting <= 0) {",
                "if (static_cast<std::int64_t>(tail) <= static_cast<std::int64_t>(head)) {")),
    Mutant("ring: a full ring accepts and forgets", "index_ring", "search_full",
           edit(RING, "memory_order_relaxed);\n                return false;",
                "memory_order_relaxed);\n                return true;")),
    Mutant("ring: cells not by position", "index_ring", "search_in_order",
           edit(RING, "position & (cells_.size() - 1);",
                "position & (cells_.size() - 1) & ~std::uint64_t{1};")),
    Mutant("ring: the tail is not brought up to the head", "index_ring", "n1 n2",
           edit(RING, "if (waiting < 0) {", "if (false) {")),
    Equivalent("ring: a refused writer keeps its position",
               "readers pass a position by whose writer did not come; with it the order is kept "
               "as long as somebody pushes into a full ring",
               edit(RING, "positions_->tail.compare_exchange_strong(mine, tail, "
                          "memory_order_relaxed,\n"
                          "                                                         "
                          "memory_order_relaxed);", "")),
    Equivalent("ring: a known tail that was wrong stays",
               "readers win positions in vain, and writers find later laps in their cells and take "
               "others; it would cost time, at most two laps an operation",
               edit(RING, "            if (known != 0) {\n"
                          "                // relaxed: its writer has not come, or what was known "
                          "is not so: look again.\n"
                          "                positions_->known_tail.store(0, memory_order_relaxed);\n"
                          "            }\n", "")),
    Equivalent("ring: no lap is skipped",
               "more than a lap between the positions comes from an old head, from writers that "
               "took others, or from a scribbled one; each cell is still taken by one exchange, "
               "only after more steps",
               edit(RING, "if (waiting <= lap) {", "if (waiting <= lap || true) {")),

    # ---- the ring that was not kept, as it is: more threads than indices, and readers that died
    Mutant("scq: empty only when it is", "scq", "n2_found"),
    Mutant("scq: readers that died do no harm", "scq", "worn"),

    # ---- the stack
    Mutant("stack: push relaxed", "index_stack", "n1 n3",
           edit(STACK, "memory_order_release, memory_order_relaxed",
                "memory_order_relaxed, memory_order_relaxed")),
    Mutant("stack: pop reads the top relaxed", "index_stack", "n3",
           edit(STACK, "top_->load(memory_order_acquire)", "top_->load(memory_order_relaxed)")),
    Mutant("stack: pop reads a new top relaxed", "index_stack", "n3",
           edit(STACK, "memory_order_acquire,\n"
                       "                                            memory_order_acquire)",
                "memory_order_acquire,\n"
                "                                            memory_order_relaxed)")),
    Mutant("stack: no tag", "index_stack", "n3",
           edit(STACK, "((top >> 32) + 1) << 32", "(top >> 32) << 32")),
    Mutant("stack: the link is written too late", "index_stack", "n2 n3",
           edit(STACK, "            links_[index].store(static_cast<std::uint32_t>(found), "
                       "memory_order_relaxed);", ""),
           edit(STACK, "memory_order_release, memory_order_relaxed));",
                "memory_order_release, memory_order_relaxed));\n"
                "        links_[index].store(static_cast<std::uint32_t>(found), "
                "memory_order_relaxed);")),
    Equivalent("stack: pop succeeds relaxed",
               "the tag makes every top unlike all others, so the compare-exchange succeeds on the "
               "very value that the acquire of the load, or of a failure, has read; not run, as "
               "Relacy takes both orders for relaxed where the first is",
               edit(STACK, "changed(found, below), memory_order_acquire,",
                    "changed(found, below), memory_order_relaxed,")),

    # ---- the gate of thread caches
    Mutant("gate: no barrier on the owner's side", "owner_gate", "claims",
           edit(GATE, "        Barrier::light();\n", "")),
    Mutant("gate: the owner's barrier does nothing", "owner_gate", "no_light"),
    Mutant("gate: the claimer's barrier does nothing", "owner_gate", "no_heavy"),
    Mutant("gate: the owner looks before it says that it is inside", "owner_gate", "claims",
           edit(GATE, "        hold();\n        // sync(gate): acquire; sees what the last claimer "
                      "left.\n        if (state_.load(memory_order_acquire) == wanted)",
                "        const bool is_open = state_.load(memory_order_acquire) == wanted;\n"
                "        hold();\n        if (is_open)")),
    Mutant("gate: the owner does not look", "owner_gate", "claims",
           edit(GATE, "if (state_.load(memory_order_acquire) == wanted)", "if (true)")),
    Mutant("gate: enter relaxed", "owner_gate", "claims",
           edit(GATE, "state_.load(memory_order_acquire) == wanted",
                "state_.load(memory_order_relaxed) == wanted")),
    Mutant("gate: leave relaxed", "owner_gate", "claims",
           edit(GATE, "inside_.store(0, memory_order_release)",
                "inside_.store(0, memory_order_relaxed)")),
    Mutant("gate: was_left relaxed", "owner_gate", "claims",
           edit(GATE, "inside_.load(memory_order_acquire) == 0",
                "inside_.load(memory_order_relaxed) == 0")),
    Mutant("gate: release relaxed", "owner_gate", "claims",
           edit(GATE, "state_.store(next, memory_order_seq_cst)",
                "state_.store(next, memory_order_relaxed)")),
    Mutant("gate: was acquires only", "owner_gate", "suspension_seen",
           edit(GATE, "state_.load(memory_order_seq_cst)", "state_.load(memory_order_acquire)")),
    Mutant("gate: reopen relaxed", "owner_gate", "claims suspension",
           edit(GATE, "compare_exchange_strong(expected, wanted, memory_order_seq_cst,",
                "compare_exchange_strong(expected, wanted, memory_order_relaxed,")),
    Mutant("gate: reopen acq_rel", "owner_gate", "suspension_seen",
           edit(GATE, "compare_exchange_strong(expected, wanted, memory_order_seq_cst,",
                "compare_exchange_strong(expected, wanted, memory_order_acq_rel,")),
    Mutant("gate: reopen opens a claimed gate", "owner_gate", "claims suspension",
           edit(GATE, "        key expected = closed;\n",
                "        key expected = state_.load(memory_order_relaxed);\n")),
    Mutant("gate: close does not close", "owner_gate", "suspension",
           edit(GATE, "compare_exchange_strong(was_open_for, closed, memory_order_acq_rel,",
                "compare_exchange_strong(was_open_for, was_open_for, memory_order_acq_rel,")),
    Equivalent("gate: close relaxed",
               "what the owner did is released by leave(), which a claimer acquires; a claimer "
               "closes what it has released just before",
               edit(GATE, "compare_exchange_strong(was_open_for, closed, memory_order_acq_rel,",
                    "compare_exchange_strong(was_open_for, closed, memory_order_relaxed,")),
    Equivalent("gate: claim relaxed",
               "the barrier that follows acquires what the compare-exchange read, and orders it "
               "before the look at the owner; without that barrier no order would do (no_heavy)",
               edit(GATE, "compare_exchange_weak(found, claimed, memory_order_seq_cst,",
                    "compare_exchange_weak(found, claimed, memory_order_relaxed,")),
    Equivalent("gate: release releases only",
               "who misses the store still reads `claimed`, which drain() takes for a cache that "
               "may be filled; claims and reopenings are read-modify-writes and read the newest",
               edit(GATE, "state_.store(next, memory_order_seq_cst)",
                    "state_.store(next, memory_order_release)")),
    Mutant("depot: a magazine's slots are not released", "owner_gate", "depot",
           edit(STACK, "memory_order_release, memory_order_relaxed",
                "memory_order_relaxed, memory_order_relaxed")),
    Mutant("depot: a magazine comes back unseen", "owner_gate", "depot",
           edit(STACK, "((top >> 32) + 1) << 32", "(top >> 32) << 32")),

    # ---- the slot word
    Mutant("cursor: take without compare-exchange", "arenas", "two",
           edit(CURSOR,
                "if (current_.compare_exchange_weak(found, found + 1, memory_order_acquire,\n"
                "                                               memory_order_relaxed)) {",
                "if (current_.store(found + 1, memory_order_relaxed), true) {")),
    Mutant("cursor: win takes what was won", "arenas", "two",
           edit(CURSOR, "std::uint32_t expected = retired;",
                "std::uint32_t expected = debts_[arena].load(memory_order_relaxed);")),
    Mutant("cursor: two arenas hand out", "arenas", "two",
           edit(CURSOR, "        while (!has_room(found)) {\n            // sync(arena): release",
                "        while (true) {\n            // sync(arena): release")),
    Mutant("cursor: an arena owes a slot too few", "arenas", "one",
           edit(CURSOR, "store(slots_in(arena), memory_order_relaxed)",
                "store(slots_in(arena) - 1, memory_order_relaxed)")),
    Mutant("cursor: what is not started stays in debt", "arenas", "single_slots two",
           edit(CURSOR, "return !come_back(arena, slots_in(arena));", "return true;")),
    Mutant("cursor: a borrowed slot is not owed", "arenas", "one two",
           edit(CURSOR, "compare_exchange_weak(found, found + 1, memory_order_relaxed,",
                "compare_exchange_weak(found, found, memory_order_relaxed,")),

    Mutant("word: claim relaxed", "slot_word", "mixed",
           edit(WORD, "memory_order_acquire, memory_order_relaxed)) {\n"
                      "                return now.generation;",
                "memory_order_relaxed, memory_order_relaxed)) {\n"
                "                return now.generation;")),
    Mutant("word: claim without compare-exchange", "slot_word", "mixed",
           edit(WORD, "            if (word_.compare_exchange_weak(found, encode({now.generation, "
                      "slot_state::owned, me}),\n"
                      "                                            memory_order_acquire, "
                      "memory_order_relaxed)) {",
                "            word_.exchange(encode({now.generation, slot_state::owned, me}), "
                "memory_order_acquire);\n            {")),
    Mutant("word: neither publish nor grant releases", "slot_word", "mixed",
           edit(WORD, "encode({generation, slot_state::published, me}),\n"
                      "                                             memory_order_acq_rel",
                "encode({generation, slot_state::published, me}),\n"
                "                                             memory_order_acquire"),
           edit(WORD, "now.holders | others}),\n                    memory_order_acq_rel",
                "now.holders | others}),\n                    memory_order_acquire")),
    Mutant("word: grant looks at no generation", "slot_word", "mixed",
           edit(WORD, "if (now.generation != generation || now.state != slot_state::published ||\n"
                      "                (now.holders & me) != me) {",
                "if (now.state != slot_state::published ||\n"
                "                (now.holders & me) != me) {")),
    Mutant("word: grant looks at no holders", "slot_word", "mixed",
           edit(WORD, "\n                (now.holders & me) != me) {\n"
                      "                return false;",
                "\n                false) {\n                return false;")),
    Mutant("word: drop acq_rel", "waiting", "search_one_release two_threads",
           edit(WORD, "encode(after), memory_order_seq_cst",
                "encode(after), memory_order_acq_rel")),
    Mutant("word: drop does not release", "slot_word", "mixed",
           edit(WORD, "encode(after), memory_order_seq_cst",
                "encode(after), memory_order_acquire")),
    Mutant("word: drop looks at no generation", "slot_word", "mixed",
           edit(WORD, "if (!holdable || now.generation != generation || (now.holders & me) != me)",
                "if (!holdable || (now.holders & me) != me)")),
    Mutant("word: drop frees what the kernel reads", "slot_word", "mixed",
           edit(WORD, "left == 0 ? last", "(left & ~kernel_holder) == 0 ? last")),
    Mutant("word: drop leaves a lent slot to nobody", "slot_word", "mixed",
           edit(WORD, ": slot_status{generation, now.state, left};",
                ": slot_status{generation, now.state, left & ~kernel_holder};")),
    Mutant("word: claim_resting relaxed", "slot_word", "mixed",
           edit(WORD, "memory_order_acquire, memory_order_relaxed)) {\n"
                      "                return true;",
                "memory_order_relaxed, memory_order_relaxed)) {\n                return true;")),
    Mutant("word: claim_resting takes a slot in use", "slot_word", "mixed",
           edit(WORD, "return status.holders == kernel_holder &&",
                "return (status.holders & kernel_holder) != 0 &&")),
    Mutant("word: quarantine is for ever", "slot_word", "mixed",
           edit(WORD, "(status.state == slot_state::published || status.state == "
                      "slot_state::quarantine);",
                "status.state == slot_state::published;")),
    Mutant("word: trim relaxed", "slot_word", "mixed",
           edit(WORD, "slot_state::trimmed, 0}),\n                    memory_order_seq_cst)",
                "slot_state::trimmed, 0}),\n                    memory_order_relaxed)")),
    Mutant("word: trim releases only", "waiting", "trimmed search_trimmed",
           edit(WORD, "slot_state::trimmed, 0}),\n                    memory_order_seq_cst)",
                "slot_state::trimmed, 0}),\n                    memory_order_release)")),
    Mutant("word: claim_trimmed relaxed", "slot_word", "mixed",
           edit(WORD, "encode({now.generation, slot_state::cleaning, me}),\n"
                      "                                             memory_order_acquire",
                "encode({now.generation, slot_state::cleaning, me}),\n"
                "                                             memory_order_relaxed")),
    Mutant("word: claim_trimmed takes any slot", "slot_word", "mixed",
           edit(WORD, "return now.state == slot_state::trimmed && now.holders == 0 &&", "return")),
    Mutant("word: free_cleaned releases only", "waiting", "renewed search_renewed",
           edit(WORD, "slot_state::free, 0}), memory_order_seq_cst)",
                "slot_state::free, 0}), memory_order_release)")),
    Mutant("word: free_cleaned relaxed", "slot_word", "mixed",
           edit(WORD, "slot_state::free, 0}), memory_order_seq_cst)",
                "slot_state::free, 0}), memory_order_relaxed)")),
    Mutant("word: quarantine relaxed", "slot_word", "mixed",
           edit(WORD, "slot_state::quarantine, kernel_holder}),\n"
                      "                    memory_order_release)",
                "slot_state::quarantine, kernel_holder}),\n"
                "                    memory_order_relaxed)")),
    Mutant("word: keep_resting relaxed", "slot_word", "mixed",
           edit(WORD, "slot_state::published, kernel_holder}),\n"
                      "                    memory_order_release)",
                "slot_state::published, kernel_holder}),\n"
                "                    memory_order_relaxed)")),
    Mutant("word: was acquires only", "waiting", "search_one_release two_threads",
           edit(WORD, "decode(word_.load(memory_order_seq_cst))",
                "decode(word_.load(memory_order_acquire))")),
    Mutant("word: was relaxed", "slot_word", "mixed",
           edit(WORD, "decode(word_.load(memory_order_seq_cst))",
                "decode(word_.load(memory_order_relaxed))")),
    Mutant("word: no generations", "slot_word", "mixed",
           edit(STATUS, "return (generation + 1) % generation_limit;", "return generation;")),
    Mutant("word: drop keeps the generation", "slot_word", "mixed",
           edit(WORD, "{next_generation(generation), slot_state::free, 0}",
                "{generation, slot_state::free, 0}")),
    Mutant("word: drop_to_clean frees", "slot_word", "zeroing search_zeroing",
           edit(WORD, "{generation, slot_state::cleaning, me}",
                "{next_generation(generation), slot_state::free, 0}")),
    Mutant("word: drop_to_clean leaves the slot to whoever was told of it", "slot_word", "zeroing",
           edit(WORD, "{generation, slot_state::cleaning, me}",
                "{generation, slot_state::published, me}")),
    Mutant("word: drop_to_clean does not say who cleans", "pool", "zeroing_n1",
           edit(WORD, "{generation, slot_state::cleaning, me}",
                "{generation, slot_state::cleaning, 0}")),
    Mutant("word: drop_to_clean does not see that others have done reading", "slot_word",
           "zeroing search_zeroing",
           edit(WORD, "encode(after), memory_order_seq_cst",
                "encode(after), memory_order_release")),
    Mutant("word: free_cleaned behind zeroing relaxed", "slot_word", "zeroing",
           edit(WORD, "slot_state::free, 0}), memory_order_seq_cst)",
                "slot_state::free, 0}), memory_order_relaxed)")),
    Mutant("word: generations do not start over", "slot_word", "wrap",
           edit(STATUS, "return (generation + 1) % generation_limit;",
                "return generation + 1;")),
    Equivalent("word: publish relaxed",
               "who publishes is the first to grant, and that releases the same; the mutant in "
               "which neither releases is killed. A share that the word showed without a grant "
               "would need it",
               edit(WORD, "encode({generation, slot_state::published, me}),\n"
                          "                                             memory_order_acq_rel",
                    "encode({generation, slot_state::published, me}),\n"
                    "                                             memory_order_relaxed")),
    Equivalent("word: grant relaxed",
               "a holder writes nothing that the next one reads; what the owner wrote is released "
               "by publish(), and a read-modify-write carries that on. A granter that has written "
               "to a header of the slot, or that looks at the registry behind it, would need it",
               edit(WORD, "now.holders | others}),\n                    memory_order_acq_rel",
                    "now.holders | others}),\n                    memory_order_relaxed")),
    Equivalent("word: trim keeps the generation",
               "no handle is good for a slot that is trimmed or cleaned, and finish_cleaning() and "
               "free_cleaned() give it the next generation before one is again",
               edit(WORD, "encode({next_generation(generation), slot_state::trimmed, 0})",
                    "encode({generation, slot_state::trimmed, 0})")),
    Equivalent("word: finish_cleaning relaxed",
               "the slot stays with the cleaner, whose next step releases; where it dies before, "
               "the recovery knows of its death from the kernel, and sees all that it did",
               edit(WORD, "encode({next, slot_state::owned, me}), memory_order_release",
                    "encode({next, slot_state::owned, me}), memory_order_relaxed")),

    # ---- deaths
    Mutant("word: grant believes an old word", "pool", "n2 n1",
           edit(WORD, "            // Also where the bits seem to stand",
                "            if ((now.holders & others) == others) {\n"
                "                return true;\n"
                "            }\n"
                "            // Also where the bits seem to stand")),
    Equivalent("word: reap only drops what was owned",
               "it then rests, and gets its new pages from its next owner instead of from the "
               "recoverer. Killed before what the dead had shared was left to the kernel",
               edit(WORD, "const bool is_shared = now.state == slot_state::published;",
                    "const bool is_shared = now.state == slot_state::published || "
                    "now.state == slot_state::owned;")),
    Mutant("word: reap leaves what was being cleaned", "pool", "one_death one_death_n1",
           edit(WORD, "if ((now.holders & dead) == 0) {",
                "if ((now.holders & dead) == 0 || now.state == slot_state::cleaning) {")),
    Mutant("word: reap forgets that sends of the dead may be under way", "pool",
           "one_death one_death_n1",
           edit(WORD, "const holder_set left = (now.holders & ~dead) | kernel_holder;",
                "const holder_set left = now.holders & ~dead;")),
    Mutant("word: reap takes a share for the last", "pool", "one_death two_deaths",
           edit(WORD, "slot_status{now.generation, slot_state::published, left}",
                "slot_status{now.generation, slot_state::published, kernel_holder}")),
    Mutant("recovery: does not count", "pool", "one_death one_death_n1",
           edit(RECOVERY, "slots.came_back(done.freed + done.resting);", "")),
    Mutant("recovery: says free before it has cleaned", "pool", "one_death one_death_n1",
           edit(RECOVERY, "if (slots.clean(i)) {", "if (true) {")),
    Equivalent("registry: grant does not look again",
               "a recovery that comes in the middle of a grant sees the granter inside, and leaves "
               "the place to the next one, which sweeps again: the share comes back later. Killed "
               "before there were places that wait",
               edit(REGISTRY, "if (granted && newest(to.index) != to.status) {", "if (false) {")),
    Mutant("registry: a place is free whoever grants", "process_registry", "search_granter_dies",
           edit(REGISTRY, "if (nobody_grants) {", "if (true) {")),
    Mutant("registry: a place is free whoever sweeps", "process_registry",
           "reuse reuse_two_recoverers",
           edit(REGISTRY, "swept) != 0 && is_acknowledged(&entry::sweeping)) {",
                "swept) != 0) {")),
    Mutant("registry: a place is free at once", "process_registry", "reuse reuse_two_recoverers",
           edit(REGISTRY, "advance(before, process_state::dying, process_state::swept);",
                "advance(before, process_state::dying, process_state::free);")),
    Mutant("registry: grant does not say that it is inside", "process_registry",
           "search_granter_dies",
           edit(REGISTRY, "me.granting.fetch_add(1, memory_order_acq_rel);",
                "me.granting.fetch_add(0, memory_order_acq_rel);"),
           edit(REGISTRY, "me.granting.fetch_sub(1, memory_order_acq_rel);",
                "me.granting.fetch_sub(0, memory_order_acq_rel);")),
    Mutant("registry: join in two steps", "process_registry", "search_last_place",
           edit(REGISTRY, "if (!place.status.compare_exchange_strong(found, encode_process(mine), "
                          "memory_order_acq_rel,\n"
                          "                                                  "
                          "memory_order_relaxed)) {",
                "place.status.exchange(encode_process(mine), memory_order_acq_rel);\n"
                "        if (false) {")),
    Mutant("registry: status relaxed", "process_registry", "reuse reuse_two_recoverers",
           edit(REGISTRY, "entries_[index].status.fetch_or(0, memory_order_acq_rel)",
                "entries_[index].status.fetch_or(0, memory_order_relaxed)")),
    Equivalent("registry: counts relaxed",
               "whoever counts itself behind this look sees the new status because it looks by a "
               "read-modify-write; by a load it would need the order",
               edit(REGISTRY, "(entries_[index].*count).fetch_or(0, memory_order_acq_rel)",
                    "(entries_[index].*count).fetch_or(0, memory_order_relaxed)")),
    Mutant("word: reap without compare-exchange", "pool", "one_death two_deaths",
           edit(WORD, "if (word_.compare_exchange_weak(found, encode(then), memory_order_seq_cst,\n"
                      "                                            memory_order_relaxed)) {",
                "word_.exchange(encode(then), memory_order_seq_cst);\n            {")),
    Equivalent("word: reap loads",
               "what granters did is ordered by the registry: their counts and the mark are "
               "changed on both sides; and what the dead did is known from the kernel",
               edit(WORD, "std::uint64_t found = word_.fetch_or(0, memory_order_acq_rel);",
                    "std::uint64_t found = word_.load(memory_order_acquire);")),

    # ---- the ring of messages, and the sleep at its ends
    Mutant("messages: a message relaxed", "channel", "stream1 stream2",
           edit(MESSAGES, "| message.first, memory_order_seq_cst",
                "| message.first, memory_order_relaxed")),
    Mutant("messages: a message only releases", "channel", "sleep1 search_sleep",
           edit(MESSAGES, "| message.first, memory_order_seq_cst",
                "| message.first, memory_order_release")),
    Mutant("messages: the halves in the other order", "channel", "stream1 stream2",
           edit(MESSAGES, """        cell.second.store(message.second, memory_order_release);
        // sync(ring)""", "        // sync(ring)"),
           edit(MESSAGES, "        ++pushed_;\n",
                "        cell.second.store(message.second, memory_order_release);\n"
                "        ++pushed_;\n")),
    Mutant("messages: the look relaxed", "channel", "stream1 stream2",
           edit(MESSAGES, "cell.first.load(memory_order_seq_cst)",
                "cell.first.load(memory_order_relaxed)")),
    Mutant("messages: the look only acquires", "channel", "sleep1 search_sleep",
           edit(MESSAGES, "cell.first.load(memory_order_seq_cst)",
                "cell.first.load(memory_order_acquire)")),
    Mutant("messages: no lap", "channel", "stream1 stream2",
           edit(MESSAGES, "if ((first & ~memory::message_mask) == memory_.lap_of(position_)) {",
                "if ((first & ~memory::message_mask) != 0) {")),
    Mutant("messages: taking only acquires", "channel", "stream1 stream2",
           edit(MESSAGES, "mine, mine + 1, memory_order_seq_cst",
                "mine, mine + 1, memory_order_acquire")),
    Mutant("messages: taking without the single order", "channel", "sleep1 search_sleep",
           edit(MESSAGES, "mine, mine + 1, memory_order_seq_cst",
                "mine, mine + 1, memory_order_acq_rel")),
    Mutant("messages: taking is a store", "channel", "back1 back2",
           edit(MESSAGES, """        const bool done = memory_.taken->compare_exchange_strong(
            mine, mine + 1, memory_order_seq_cst, memory_order_relaxed);""",
                """        memory_.taken->store(mine + 1, memory_order_seq_cst);
        const bool done = true;""")),
    Mutant("messages: the position relaxed", "channel", "stream1 stream2",
           edit(MESSAGES, "accept(memory_.taken->load(memory_order_seq_cst))",
                "accept(memory_.taken->load(memory_order_relaxed))")),
    Mutant("messages: the position only acquired", "channel", "sleep1 search_sleep",
           edit(MESSAGES, "accept(memory_.taken->load(memory_order_seq_cst))",
                "accept(memory_.taken->load(memory_order_acquire))")),
    Mutant("messages: too late, relaxed", "channel", "back1 back2",
           edit(MESSAGES, "memory_order_acquire,\n"
                "                                                   "
                "memory_order_acquire)) {",
                "memory_order_relaxed,\n                                                   "
                "memory_order_relaxed)) {")),
    Mutant("messages: taken back by a store", "channel", "back1 back2",
           edit(MESSAGES, "if (memory_.taken->compare_exchange_strong(oldest, oldest + 1,",
                "memory_.taken->store(oldest + 1, memory_order_seq_cst);\n"
                "        if (true || memory_.taken->compare_exchange_strong(oldest, oldest + 1,")),
    Mutant("messages: the second half relaxed", "channel", "back1 back2 search_back",
           edit(MESSAGES, "cell.second.store(message.second, memory_order_release)",
                "cell.second.store(message.second, memory_order_relaxed)")),
    Mutant("messages: no look behind the halves", "channel", "back1 back2 search_back",
           edit(MESSAGES, "if (taken == position_) {\n                    return",
                "if (true) {\n                    return")),
    Mutant("messages: the consumer does not look what was taken back", "channel", "back1 back2",
           edit(MESSAGES, "                break;\n            }\n            position_ = taken;\n",
                "                break;\n            }\n            break;\n")),
    Mutant("flag: announced without the single order", "channel", "sleep1 search_sleep",
           edit(FLAG, "announced_.store(1, memory_order_seq_cst)",
                "announced_.store(1, memory_order_release)")),
    Mutant("flag: claimed without the single order", "channel", "sleep1 search_sleep",
           edit(FLAG, "announced_.load(memory_order_seq_cst)",
                "announced_.load(memory_order_acquire)")),
    Mutant("flag: nobody is woken", "channel", "sleep1",
           edit(FLAG, "        futex_wake(announced_, 1U, every_sleeper);\n", "")),
    # ---- a share that a process takes for itself
    Mutant("word: accept relaxed", "channel", "record search_record",
           edit(WORD, "others | me}),\n                    memory_order_acq_rel",
                "others | me}),\n                    memory_order_relaxed")),
    Mutant("word: accept of a share that stands", "channel", "record search_record",
           edit(WORD, "            if ((now.holders & me) != 0) {\n"
                "                return accept_outcome::mine_already;\n            }\n", "")),
    Equivalent("word: accept without asking for the sender",
               "of a slot that nobody holds but the kernel, it would end the rest, and the bytes "
               "are still those of this generation; of one that others hold, the same",
           edit(WORD, "\n                (now.holders & from) == 0) {\n"
                "                return accept_outcome::gone;",
                "\n                false) {\n                return accept_outcome::gone;")),
    Mutant("word: accept without asking for the generation", "channel",
                "shared handed shared_deaths",
           edit(WORD, "if (now.generation != generation || now.state != slot_state::published ||\n"
                      "                (now.holders & from) == 0) {",
                "if (now.state != slot_state::published ||\n"
                "                (now.holders & from) == 0) {")),
    Mutant("word: what is handed over stays the sender's", "channel", "handed",
           edit(WORD, "handed_over ? now.holders & ~from : now.holders", "now.holders")),
    # ---- waiting
    Mutant("waiting: the releaser only acquires", "waiting", "search_one_release two_threads",
           edit(WAITING, "waiters.load(memory_order_seq_cst) != 0) {\n"
                         "            wake(usable(index, false));",
                "waiters.load(memory_order_acquire) != 0) {\n"
                "            wake(usable(index, false));")),
    Mutant("waiting: the waiter counts itself without the single order", "waiting",
           "search_one_release two_threads",
           edit(WAITING, "waiters.fetch_add(1, memory_order_seq_cst)",
                "waiters.fetch_add(1, memory_order_acq_rel)")),
    Mutant("waiting: a wake-up changes nothing", "waiting", "two_threads",
           edit(WAITING, "sequence_->fetch_add(1, memory_order_seq_cst);", "")),
    Mutant("waiting: the word is changed after waking", "waiting", "two_threads",
           edit(WAITING, "        sequence_->fetch_add(1, memory_order_seq_cst);\n"
                         "        using sys::futex_wake;\n"
                         "        futex_wake(*sequence_, count, classes);",
                "        using sys::futex_wake;\n"
                "        futex_wake(*sequence_, count, classes);\n"
                "        sequence_->fetch_add(1, memory_order_seq_cst);")),
    Mutant("waiting: anybody is woken", "waiting", "own_classes",
           edit(WAITING, "wake(usable(index, false))", "wake(~std::uint32_t{0})")),
    Mutant("control: a counted waiter needs no single order", "waiting", "counted", *COUNTED_ONLY,
           control=True),
    Mutant("waiting: the ticket relaxed", "waiting", "counted", *COUNTED_ONLY,
           edit(WAITING, "sequence_->load(memory_order_seq_cst)",
                "sequence_->load(memory_order_relaxed)")),
    Mutant("waiting: a wake-up does not release", "waiting", "counted", *COUNTED_ONLY,
           edit(WAITING, "sequence_->fetch_add(1, memory_order_seq_cst)",
                "sequence_->fetch_add(1, memory_order_relaxed)")),
    Mutant("control: the ticket only acquires", "waiting",
           "two_threads two_classes renewed counted search_one_release",
           edit(WAITING, "sequence_->load(memory_order_seq_cst)",
                "sequence_->load(memory_order_acquire)"), control=True),
    Mutant("control: a wake-up only releases", "waiting",
           "two_threads two_classes renewed counted search_one_release",
           edit(WAITING, "sequence_->fetch_add(1, memory_order_seq_cst)",
                "sequence_->fetch_add(1, memory_order_release)"), control=True),

    # ---- the ring of bytes
    Mutant("bytes: commit relaxed", "byte_ring", "n1 n2",
           edit(BYTES, "committed.store(committed_, memory_order_release)",
                "committed.store(committed_, memory_order_relaxed)")),
    Mutant("bytes: the look for bytes relaxed", "byte_ring", "n1 n2",
           edit(BYTES, "committed.load(memory_order_acquire)",
                "committed.load(memory_order_relaxed)")),
    Mutant("bytes: consume relaxed", "byte_ring", "n1 n2",
           edit(BYTES, "consumed.store(consumed_, memory_order_release)",
                "consumed.store(consumed_, memory_order_relaxed)")),
    Mutant("bytes: the look for room relaxed", "byte_ring", "n1 n2",
           edit(BYTES, "consumed.load(memory_order_acquire)",
                "consumed.load(memory_order_relaxed)")),
    Mutant("bytes: one byte too much room", "byte_ring", "n1 n2",
           edit(BYTES, "limit_ = consumed + capacity_;", "limit_ = consumed + capacity_ + 1;")),
    Mutant("bytes: one byte less room each lap", "byte_ring", "n2",
           edit(BYTES, "limit_ = consumed + capacity_;", "limit_ = consumed + capacity_ - 1;")),
    Mutant("bytes: positions compared as numbers", "byte_ring", "wrap",
           edit(BYTES, "if (consumed - seen > committed_ - seen) {",
                "if (consumed < seen || consumed > committed_) {")),
    Mutant("bytes: bytes compared as numbers", "byte_ring", "wrap",
           edit(BYTES, "if (committed - committed_ > capacity_ - (committed_ - consumed_)) {",
                "if (committed < committed_ || committed > consumed_ + capacity_) {")),

    # ---- the ends of a stream, which sleep
    Mutant("stream: no barrier behind a commit", "byte_stream", "lopsided_n1 lopsided_n2",
           edit(SLEEP, "            Barrier::light();\n", "")),
    Mutant("stream: the light half does nothing", "byte_stream", "no_light"),
    Mutant("stream: the heavy half does nothing", "byte_stream", "no_heavy"),
    Mutant("stream: the sleeper passes no barrier", "byte_stream", "lopsided_n1",
           edit(SLEEP, "            Barrier::heavy();\n", "")),
    Mutant("stream: full, looked at by a load", "byte_stream", "full_n1 full_n2",
           edit(SLEEP, "word_.fetch_add(0, memory_order_seq_cst)",
                "word_.load(memory_order_seq_cst)")),
    Mutant("stream: full, looked at without release", "byte_stream", "full_n1 full_n2",
           edit(SLEEP, "word_.fetch_add(0, memory_order_seq_cst)",
                "word_.fetch_add(0, memory_order_acquire)")),
    Mutant("stream: full, the sleeper does not acquire", "byte_stream", "full_n1 full_n2",
           edit(SLEEP, "word_.fetch_or(asleep, memory_order_seq_cst)",
                "word_.fetch_or(asleep, memory_order_release)")),
    Mutant("stream: the sleeper looks before it says so", "byte_stream", "lopsided_n1 full_n1",
           edit(SLEEP, "        const std::uint32_t before =",
                "        const bool is_there = holds();\n        const std::uint32_t before ="),
           edit(SLEEP, "if (!holds()) {", "if (!is_there) {")),
    Mutant("stream: a wake-up leaves the word asleep", "byte_stream", "lopsided_n1 full_n1",
           edit(SLEEP, "if ((word_.fetch_and(~asleep, memory_order_seq_cst) & asleep) != 0) {",
                "{")),
    Mutant("stream: the word is changed after waking", "byte_stream", "lopsided_n1 full_n1",
           edit(SLEEP, "        if ((word_.fetch_and(~asleep, memory_order_seq_cst) & asleep) != 0)"
                       " {\n            using sys::futex_wake;\n"
                       "            futex_wake(word_, 1, any_bit);\n        }",
                "        using sys::futex_wake;\n        futex_wake(word_, 1, any_bit);\n"
                "        word_.fetch_and(~asleep, memory_order_seq_cst);")),
    Mutant("stream: nobody is woken", "byte_stream", "lopsided_n1",
           edit(SLEEP, "if ((found & asleep) != 0) [[unlikely]] {", "if (false) {")),
    Mutant("stream: close relaxed", "byte_stream", "lopsided_n2 full_n2",
           edit(SLEEP, "word_.fetch_or(closed, memory_order_release)",
                "word_.fetch_or(closed, memory_order_relaxed)")),
    Mutant("stream: closed seen relaxed", "byte_stream", "lopsided_n2 full_n2",
           edit(SLEEP, "(word_.load(memory_order_acquire) & closed)",
                "(word_.load(memory_order_relaxed) & closed)")),
    Mutant("control: read-modify-writes need no single order", "byte_stream",
           "full_n1 full_n2 search_full",
           edit(SLEEP, "word_.fetch_add(0, memory_order_seq_cst)",
                "word_.fetch_add(0, memory_order_acq_rel)"),
           edit(SLEEP, "word_.fetch_or(asleep, memory_order_seq_cst)",
                "word_.fetch_or(asleep, memory_order_acq_rel)"),
           edit(SLEEP, "word_.fetch_and(~asleep, memory_order_seq_cst)",
                "word_.fetch_and(~asleep, memory_order_acq_rel)"), control=True),
]


def mutate(mutant, include, into):
    """Writes the mutant's headers below `into`; complains of what is not there exactly once."""
    changed = {}
    for header, old, new in mutant.edits:
        text = changed.get(header) or (include / "zcpool" / header).read_text(encoding="utf-8")
        if text.count(old) != 1:
            return f"{header}: stands there {text.count(old)} times, not once: {old!r}"
        changed[header] = text.replace(old, new)
    for header, text in changed.items():
        path = into / "zcpool" / header
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return None


def apply_only(mutant, options):
    """As check(), but only whether the edits find their places."""
    with tempfile.TemporaryDirectory() as folder:
        return mutate(mutant, options.include, pathlib.Path(folder)), "applies"


def check(mutant, options):
    """Returns (complaint or None, what happened)."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        wrong = mutate(mutant, options.include, folder)
        if wrong is not None:
            return wrong, ""
        if isinstance(mutant, Equivalent):
            return None, f"equivalent: {mutant.reason}"
        program = folder / "model"
        cases = " ".join(mutant.cases)
        command = [options.compiler, "-std=c++23", "-O1", "-U_FORTIFY_SOURCE", "-fpermissive", "-w",
                   "-DZCPOOL_ASSERTIONS=1", f'-DZCPOOL_MODEL_ONLY=" {cases} "',
                   f"-I{folder}", f"-I{options.include}", f"-I{options.relacy}",
                   f"-I{HERE.parent}",
                   str(HERE / f"{mutant.model}.cpp"), "-o", str(program)]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode != 0:
            return f"does not compile:\n{built.stderr}", ""
        environment = os.environ | {"ZCPOOL_MODEL_RUNS": str(options.runs)}
        environment.pop("ZCPOOL_MODEL_BOUND", None)
        done = subprocess.run([program, *mutant.cases], capture_output=True, text=True, check=False,
                              env=environment)
    seen = re.search(r"^(\w+) +FAILED +(\d+)", done.stdout, re.MULTILINE)
    if mutant.control:
        return (None if done.returncode == 0 else f"is not clean:\n{done.stdout}{done.stderr}",
                "clean")
    if done.returncode == 1 and seen:
        return None, f"killed in run {seen[2]} of {seen[1]}"
    return f"survives, or ends otherwise ({done.returncode}):\n{done.stdout}{done.stderr}", ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--include", required=True, type=pathlib.Path)
    parser.add_argument("--relacy", default="/usr/include", type=pathlib.Path)
    parser.add_argument("--compiler", default=shutil.which("g++"))
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sample", type=int, help="so many of them, chosen at random")
    parser.add_argument("--seed", type=int, help="of the choice; from a run that printed it")
    parser.add_argument("--apply-only", action="store_true",
                        help="compile and run nothing: do the edits find their places?")
    parser.add_argument("names", nargs="*", help="only those whose name contains one of these")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS
              if not options.names or any(name in mutant.name for name in options.names)]
    if options.sample is not None and options.sample < len(chosen):
        seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
        print(f"{options.sample} of {len(chosen)}, seed {seed}")
        chosen = random.Random(seed).sample(chosen, options.sample)
    began = time.monotonic()
    wrong = killed = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as workers:
        act = apply_only if options.apply_only else check
        results = workers.map(lambda mutant: act(mutant, options), chosen)
        for mutant, (complaint, what) in zip(chosen, results):
            print(f"{mutant.name}: {what if complaint is None else 'WRONG: ' + complaint}",
                  flush=True)
            wrong += complaint is not None
            killed += what.startswith("killed")
    print(f"{killed} killed, {wrong} wrong, of {len(chosen)}; "
          f"{time.monotonic() - began:.0f} s")
    return 1 if wrong or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
