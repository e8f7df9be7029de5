# SPDX-License-Identifier: MIT
"""What zcpool_top says of pools is what their processes have done, and it changes nothing."""

import fcntl
import json
import os
import signal
import struct
import subprocess
import unittest

from support import (NOBODY, PATIENCE, POOL_PROGRAM, PROGRAM, PoolProgram, kill, look, look_at,
                     process_of, run, wait_until_dead)

SMALL, LARGE = 4096, 65536

POOL_KEYS = {"inode", "pids", "shared", "checked", "lends", "zeroes", "closed", "data_bytes",
             "control_bytes", "lent_detached_bytes", "lent_budget_bytes", "leaked_slots",
             "leaked_bytes", "interval_seconds", "classes", "processes"}
CLASS_KEYS = {"slot_bytes", "slots", "in_use", "high_water", "acquired", "released",
              "acquired_per_second", "released_per_second", "exhausted", "waited", "spilled",
              "lent", "renewed", "renewals_failed", "copied_bytes", "free", "trimmed", "resting",
              "quarantined", "damaged", "leaked"}
PROCESS_KEYS = {"place", "pid", "name", "state", "alive", "age_seconds", "owned", "published",
                "cleaning", "held_bytes", "leaked", "classes"}


class Pools(unittest.TestCase):
    def test_values_are_what_was_done(self):
        with PoolProgram() as owner:
            first = owner.partner("first", small=2, large=3)
            second = owner.partner("second", small=5, shown=4)
            self.assertEqual(owner.order("acquire", 0, 6), "6")
            self.assertEqual(owner.order("acquire", 1, 99), "5")  # and then there is none
            self.assertEqual(owner.order("churn", 0, 100), "done")
            pool = look_at(owner.pid)
            self.assertEqual(set(pool), POOL_KEYS)
            self.assertEqual(pool["inode"], owner.inode())
            self.assertEqual(pool["pids"], [owner.pid])
            self.assertEqual((pool["shared"], pool["checked"], pool["lends"], pool["zeroes"],
                              pool["closed"]), (True, False, True, False, False))
            self.assertEqual(pool["data_bytes"], 32 * SMALL + 8 * LARGE)
            self.assertIsNone(pool["interval_seconds"])

            small, large = pool["classes"]
            self.assertEqual(set(small), CLASS_KEYS)
            self.assertEqual((small["slot_bytes"], small["slots"]), (SMALL, 32))
            self.assertEqual((large["slot_bytes"], large["slots"]), (LARGE, 8))
            self.assertEqual(small["in_use"], 2 + 5 + 4 + 6)
            self.assertEqual(small["free"], 32 - 17)
            self.assertEqual(small["high_water"], 18)
            self.assertEqual((small["acquired"], small["released"]), (117, 100))
            self.assertEqual((small["lent"], small["exhausted"]), (4, 0))
            self.assertEqual((large["in_use"], large["free"], large["exhausted"]), (8, 0, 1))
            self.assertEqual((large["resting"], large["quarantined"], large["damaged"]), (0, 0, 0))
            self.assertIsNone(small["acquired_per_second"])

            # Who holds most bytes comes first.
            self.assertEqual([each["pid"] for each in pool["processes"]],
                             [owner.pid, first, second])
            self.assertEqual(set(pool["processes"][0]), PROCESS_KEYS)
            its = process_of(pool, second)
            self.assertEqual((its["owned"], its["published"], its["cleaning"]), (5, 4, 0))
            self.assertEqual(its["held_bytes"], 9 * SMALL)
            self.assertEqual((its["place"], its["name"], its["alive"]), (2, "second", True))
            self.assertEqual(its["state"], "sleeping")
            self.assertLess(its["age_seconds"], 300)
            self.assertFalse(its["leaked"])
            self.assertEqual(process_of(pool, first)["classes"],
                             [{"owned": 2, "published": 0, "cleaning": 0},
                              {"owned": 3, "published": 0, "cleaning": 0}])
            self.assertEqual(process_of(pool, owner.pid)["place"], 0)
            owner.order("close")
            self.assertTrue(look_at(owner.pid)["closed"])

    def test_what_the_dead_hold_is_shown_as_leaked_until_somebody_reaps(self):
        with PoolProgram() as owner:
            partner = owner.partner("victim", small=3, large=1, shown=1)
            self.assertEqual(look_at(owner.pid)["leaked_slots"], 0)
            owner.lose(partner)
            for is_zombie in (True, False):
                pool = look_at(owner.pid)
                self.assertEqual(pool["leaked_slots"], 5)
                self.assertEqual(pool["leaked_bytes"], 4 * SMALL + LARGE)
                self.assertEqual([each["leaked"] for each in pool["classes"]], [4, 1])
                its = process_of(pool, partner)
                self.assertEqual((its["state"], its["alive"], its["leaked"]), ("dead", False, True))
                self.assertEqual((its["owned"], its["published"]), (4, 1))
                self.assertEqual(its["name"], "victim" if is_zombie else None)
                text = run(owner.pid, "--once").stdout
                self.assertRegex(text, rf"LEAKED  5 slots, 80 KiB, of pid {partner} .*must reap")
                if is_zombie:
                    self.assertEqual(owner.order("wait", partner), str(partner))
            self.assertEqual(owner.order("reap"), "1")
            pool = look_at(owner.pid)
            self.assertEqual((pool["leaked_slots"], pool["leaked_bytes"]), (0, 0))
            self.assertNotIn("LEAKED", run(owner.pid, "--once").stdout)
            self.assertEqual(pool["classes"][0]["in_use"], 0)
            self.assertEqual(pool["classes"][0]["resting"], 1)

    def test_nothing_is_written_and_no_place_is_taken(self):
        with PoolProgram() as owner:
            partner = owner.partner("partner", small=1, shown=1)
            victim = owner.partner("victim", small=1)
            owner.lose(victim)
            before = owner.order("control")
            self.assertEqual(before.split()[1], "3")
            for arguments in ([], ["--json"], [owner.pid, "--once"], [partner, "--once", "--json"],
                              [owner.pid, "--count", "3", "--interval", "0.1"], [victim, "--once"]):
                done = run(*arguments)
                self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(owner.order("control"), before)

    def test_a_stopped_owner_is_seen_and_is_not_dead(self):
        with PoolProgram() as owner:
            owner.order("acquire", 0, 2)
            os.kill(owner.pid, signal.SIGSTOP)
            try:
                os.waitid(os.P_PID, owner.pid, os.WSTOPPED | os.WNOWAIT)
                its = process_of(look_at(owner.pid), owner.pid)
                self.assertEqual((its["state"], its["alive"], its["owned"]), ("stopped", True, 2))
                self.assertIn(str(owner.pid), run("--once").stdout)
            finally:
                os.kill(owner.pid, signal.SIGCONT)

    def test_a_pool_outlives_its_owner_and_is_found_by_either(self):
        with PoolProgram() as owner:
            partner = owner.partner("partner", large=2)
            owner.order("acquire", 0, 7)
            inode = owner.inode()
            owner.process.kill()
            wait_until_dead(owner.pid)
            for pid in (partner, owner.pid):  # a zombie
                pool = look_at(pid)
                self.assertEqual(pool["inode"], inode)
                its = process_of(pool, owner.pid)
                self.assertEqual((its["state"], its["owned"], its["leaked"]), ("dead", 7, True))
                self.assertEqual(process_of(pool, partner)["owned"], 2)
            owner.process.wait()
            self.assertEqual(look_at(owner.pid)["inode"], inode)  # nobody's pid any more
            kill(partner)
            wait_until_dead(partner)
            done = run(owner.pid, "--once")
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"PID {owner.pid}: there is no such process", done.stderr)

    def test_a_list_has_each_pool_once_with_those_who_have_it(self):
        with PoolProgram() as one, PoolProgram("alone") as two:
            partner = one.partner("partner", small=3)
            pools = {pool["inode"]: pool for pool in look()["pools"]}
            self.assertEqual(sorted(pools[one.inode()]["pids"]), sorted([one.pid, partner]))
            self.assertEqual(pools[two.inode()]["pids"], [two.pid])
            text = run().stdout.splitlines()
            line = [each for each in text if each.split()[0] == str(one.inode())]
            self.assertEqual(len(line), 1)
            for word in (f"{one.pid} ({one.name})", f"{partner} (partner)", "640 KiB",
                         "shared"):
                self.assertIn(word, line[0])
            self.assertEqual(line[0].split()[4:6], ["40", "3"])

    def test_pools_that_are_not_shared_are_seen_too(self):
        for kind in ("alone", "checked"):
            with self.subTest(kind), PoolProgram(kind) as owner:
                owner.order("acquire", 1, 2)
                pool = look_at(owner.pid)
                self.assertEqual((pool["shared"], pool["checked"], pool["zeroes"]),
                                 (False, kind == "checked", kind == "checked"))
                self.assertEqual(pool["classes"][1]["in_use"], 2)  # few slots: no caches
                (maker,) = pool["processes"]
                self.assertEqual((maker["place"], maker["pid"], maker["alive"]),
                                 (None, owner.pid, True))
                self.assertEqual(maker["classes"][1]["owned"], 2)
                self.assertIn("upper bound", run(owner.pid, "--once").stdout)

    def test_a_name_may_be_anything(self):
        with PoolProgram() as owner:
            odd = b'a")\\\x1b[2J\xff{'
            partner = owner.partner(odd, small=1)
            self.assertEqual(process_of(look_at(owner.pid), partner)["name"], odd.decode("latin-1"))
            text = run(owner.pid, "--once").stdout
            self.assertNotIn("\x1b", text)
            self.assertIn('a")\\?[2J?{', text)

    def test_files_that_only_look_like_pools_are_named(self):
        add_seals, seals = 1033, 0x1 | 0x2 | 0x4
        version = struct.pack("<QI", 0x314C4F4F50435A01, 99).ljust(8192, b"\0")
        for content, word in ((b"", "only its name"), (version, "version"),
                              (b"\0" * 8192, "only its name")):
            file = os.memfd_create("zcpool-control", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                os.fchmod(file, 0o600)
                os.write(file, content)
                fcntl.fcntl(file, add_seals, seals)
                done = run(os.getpid(), "--once")
                self.assertEqual(done.returncode, 1)
                self.assertIn(word, done.stderr)
                self.assertIn(f"process {os.getpid()}", done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertIn(word, run("--once").stderr)  # the others are listed all the same
            finally:
                os.close(file)

    def test_who_has_no_pool_is_told_so(self):
        done = run(os.getpid(), "--once")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(f"PID {os.getpid()} (python3", done.stderr)
        self.assertIn("has no pool", done.stderr)

    @unittest.skipIf(os.geteuid() != 0, "not root")
    def test_for_another_users_process_the_missing_right_is_named(self):
        with PoolProgram() as owner:
            done = run(owner.pid, "--once", user=NOBODY)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            for word in (f"PID {owner.pid}", "root (uid 0)", "nobody (uid 65534)", "CAP_SYS_PTRACE",
                         "CAP_DAC_READ_SEARCH"):
                self.assertIn(word, done.stderr)
            done = run("--once", "--json", user=NOBODY)
            self.assertEqual(done.returncode, 0, done.stderr)
            answer = json.loads(done.stdout)
            self.assertGreater(answer["denied_processes"], 0)
            self.assertNotIn(owner.inode(), [pool["inode"] for pool in answer["pools"]])
            self.assertIn("CAP_SYS_PTRACE is missing", run("--once", user=NOBODY).stdout)

    @unittest.skipIf(os.geteuid() != 0, "not root")
    def test_root_sees_the_pools_of_others(self):
        def become_nobody():
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        theirs = subprocess.Popen([POOL_PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  preexec_fn=become_nobody)
        try:
            self.assertEqual(theirs.stdout.readline(), b"ready\n")
            pool = look_at(theirs.pid)
            self.assertEqual(process_of(pool, theirs.pid)["state"], "sleeping")
        finally:
            theirs.kill()
            theirs.wait(timeout=20 * PATIENCE)
            theirs.stdin.close()
            theirs.stdout.close()


if __name__ == "__main__":
    assert PROGRAM and POOL_PROGRAM, "ZCPOOL_TOP or POOL_PROGRAM is not set"
    unittest.main(verbosity=2)
