# SPDX-License-Identifier: MIT
"""The kill test: whoever is killed, what arrives is whole, and every slot comes back."""

import os
import unittest

from support import PROGRAM, run

KILLS = max(1, int(100 * float(os.environ.get("ZCPOOL_TEST_SCALE", "1"))))


class Kills(unittest.TestCase):
    def check(self, *options, kills=KILLS):
        done = run("--kill-test", str(kills), *options, seconds=60 + kills)
        self.assertEqual((done.code, done.err), (0, ""), done.out)
        said = done.rows
        self.assertEqual(said["kills"], kills)
        by_stage = [said[f"kills of {stage}"] for stage in ("capture", "packager", "viewer")]
        self.assertEqual(sum(by_stage), kills)
        # Whoever was killed was started again, but for those at the very end.
        self.assertGreaterEqual(said["processes started"], kills)
        self.assertGreater(said["frames delivered"], 0)
        self.assertEqual(said["frames with wrong bytes"], 0)
        self.assertEqual(said["frames out of order"], 0)
        self.assertEqual(said["slots lost"], 0)
        self.assertEqual(said["processes still registered"], 1)
        return said

    def test_any_stage_at_any_moment(self):
        said = self.check("--size", "64KiB", "--viewers", "2")
        self.assertGreater(said["slots taken back from the dead"], 0)
        for stage in ("capture", "packager", "viewer"):
            self.assertGreater(said[f"kills of {stage}"], 0)

    def test_with_frames_that_are_dropped(self):
        for policy in ("drop-newest", "drop-oldest"):
            with self.subTest(policy):
                said = self.check("--size", "256KiB", "--viewers", "2", "--view-ms", "1",
                                  "--capacity", "2", "--when-full", policy,
                                  kills=max(1, KILLS // 3))
                self.assertGreater(said["dropped, viewer too slow"], 0)

    def test_large_frames(self):
        self.check("--size", "8MiB", "--capacity", "2", kills=max(1, KILLS // 5))

    def test_the_seed_is_told(self):
        self.assertEqual(self.check("--size", "64KiB", "--seed", "4711", kills=3)["seed"], 4711)

    def test_without_a_number_there_are_200(self):
        done = run("--size", "64KiB", "--frames", "10", "--kill-test", "--kill-within-ms", "1000")
        self.assertEqual(done.code, 1, done.out)
        self.assertIn("of 200 kills", done.err)


if __name__ == "__main__":
    assert PROGRAM, "SHM_PIPELINE is not set"
    unittest.main(verbosity=2)
