# SPDX-License-Identifier: MIT
"""Runs examples/preflight as root and as nobody, under limits, and where io_uring is forbidden."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

PREFLIGHT = os.environ["PREFLIGHT"]
WITHOUT_IO_URING = os.environ["WITHOUT_IO_URING"]


def run(*arguments, before=(), binary=PREFLIGHT):
    return subprocess.run([*before, binary, *arguments], capture_output=True, text=True,
                          check=False, timeout=30)


def findings(*arguments, **options):
    done = run("--json", *arguments, **options)
    return done, {each["feature"]: each for each in json.loads(done.stdout)}


class Preflight(unittest.TestCase):
    def test_table_has_a_line_for_each_feature(self):
        done, found = findings()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(found), 19)
        table = run()
        self.assertEqual(table.returncode, 0, table.stderr)
        begun = [line.split()[0] for line in table.stdout.splitlines() if line[0] != " "]
        self.assertEqual(begun, list(found))
        for name, each in found.items():
            self.assertIn(f"{name:<21} {each['status']:<10} {each['found']}\n", table.stdout)

    def test_what_is_not_ok_says_what_happens_without(self):
        _, found = findings()
        for each in found.values():
            self.assertIn(each["status"], ("ok", "degraded", "missing", "not known"))
            self.assertTrue(each["found"] and each["without"])
        # No kernel sends by reference over AF_UNIX.
        self.assertEqual(found["zerocopy_unix"]["status"], "missing")

    def test_a_requirement_that_is_met_changes_nothing(self):
        self.assertEqual(run("--require", "pages").returncode, 0)

    def test_a_requirement_that_is_not_met_is_named_and_ends_with_1(self):
        done, found = findings("--require", "pages", "--require", "zerocopy_unix")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(found), 19)
        self.assertTrue(done.stderr.startswith("preflight: zerocopy_unix missing: "), done.stderr)

    def test_bad_options_end_with_2(self):
        for bad in (("--require", "luck"), ("--lock", "much"), ("--no-such",)):
            done = run(*bad)
            self.assertEqual(done.returncode, 2, bad)
            self.assertIn("preflight: ", done.stderr)
        self.assertIn("memory_lock", run("--require", "luck").stderr)
        self.assertEqual(run("--help").returncode, 0)

    def test_without_io_uring_who_forbids_it_is_named(self):
        for code, word in (("EPERM", "seccomp"), ("ENOSYS", "CONFIG_IO_URING")):
            forbid = (sys.executable, WITHOUT_IO_URING, code)
            done, found = findings("--require", "io_uring", before=forbid)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(found["io_uring"]["status"], "missing")
            self.assertEqual(found["io_uring_operations"]["status"], "missing")
            self.assertIn(word, found["io_uring"]["found"] + found["io_uring"]["remedy"])
            self.assertEqual(run(before=forbid).returncode, 0)


@unittest.skipUnless(os.geteuid() == 0, "only root becomes another user")
class Nobody(unittest.TestCase):
    """A user who may be unable to read the build directory: what runs is a copy."""

    def setUp(self):
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        os.chmod(self.directory, 0o755)
        self.binary = shutil.copy(PREFLIGHT, self.directory)

    def limited(self, limit, *arguments):
        before = ("prlimit", f"--memlock={limit}:{limit}", "setpriv", "--reuid=65534",
                  "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all")
        return findings(*arguments, before=before, binary=self.binary)

    def test_memory_that_may_not_be_locked_names_value_limit_and_remedy(self):
        done, found = self.limited(65536, "--lock", "268MiB", "--require", "memory_lock")
        self.assertEqual(done.returncode, 1)
        for part in ("soft limit 64 KiB", "wanted: 268 MiB", "ulimit -l 274432",
                     "LimitMEMLOCK=274432K", "CAP_IPC_LOCK not effective"):
            self.assertIn(part, done.stderr)
        self.assertEqual(found["memory_lock"]["status"], "missing")

    def test_what_fits_is_ok(self):
        done, found = self.limited(65536, "--lock", "64KiB", "--register", "32KiB",
                                   "--in-flight", "32KiB", "--require", "memory_lock",
                                   "--require", "pinned_memory")
        self.assertEqual(done.returncode, 0, done.stderr)
        _, found = self.limited(65536, "--register", "64KiB", "--in-flight", "4KiB")
        self.assertEqual(found["pinned_memory"]["status"], "degraded")

    def test_with_a_limit_of_nothing_nothing_can_be_locked(self):
        done, found = self.limited(0)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(found["memory_lock"]["status"], "missing")
        self.assertEqual(found["pinned_memory"]["status"], "missing")
        self.assertEqual(found["sealed_memory"]["status"], "ok")


if __name__ == "__main__":
    unittest.main()
