# SPDX-License-Identifier: MIT
"""Runs in which nobody is killed, or one by hand: what was captured arrives, byte by byte."""

import os
import shutil
import signal
import subprocess
import tempfile
import unittest

from support import PATIENCE, PROGRAM, Done, eventually, run, stages_at, start

KIB = 1 << 10
MIB = 1 << 20

# What must not be in a run without deaths.
NONE = ("frames with wrong bytes", "frames out of order", "messages lost with their sender",
        "slots taken back from the dead", "slots lost")
# Nor in one that waits for slow readers.
NO_DROPS = ("dropped, packager too slow", "dropped, viewer too slow", "without a slot",
            "missing between frames seen", "heads or frames alone")


class Pipeline(unittest.TestCase):
    def check(self, done, zeroes, **rows):
        self.assertEqual((done.code, done.err), (0, ""), done.out)
        wanted = {name: 0 for name in zeroes} | {"processes still registered": 1}
        wanted |= {name.replace("_", " "): number for name, number in rows.items()}
        self.assertEqual({name: done.rows.get(name) for name in wanted}, wanted)

    def test_every_byte_of_frames_of_all_sizes(self):
        for size, bytes_of_a_frame, frames, options in (
                ("64KiB", 64 * KIB, 1000, []), ("100000", 99840, 300, []),
                ("1MiB", MIB, 100, []), ("8MiB", 8 * MIB, 30, ["--capacity", "2"])):
            for viewers in (1, 3):
                with self.subTest(size=size, viewers=viewers):
                    done = run("--size", size, "--viewers", str(viewers), "--frames", str(frames),
                               *options)
                    self.check(done, NONE + NO_DROPS, bytes_of_a_frame=bytes_of_a_frame,
                               viewers=viewers, frames_captured=frames, frames_packaged=frames,
                               frames_delivered=viewers * frames, processes_started=viewers + 2)
                    self.assertGreater(done.rows["latency p50, us"], 0)
                    self.assertLessEqual(done.rows["latency p50, us"],
                                         done.rows["latency p99, us"])

    def test_fewer_slots_than_there_could_be_frames_make_it_wait(self):
        done = run("--size", "64KiB", "--slots", "3", "--frames", "200", "--capacity", "2")
        self.check(done, NONE + NO_DROPS, frames_captured=200, frames_delivered=200)

    def test_a_slow_viewer(self):
        slow = ["--size", "64KiB", "--frames", "300", "--view-ms", "4", "--capacity", "2"]
        done = run(*slow, "--when-full", "wait")
        self.check(done, NONE + NO_DROPS, frames_delivered=300)
        for policy in ("drop-newest", "drop-oldest"):
            with self.subTest(policy):
                done = run(*slow, "--rate", "2000", "--when-full", policy)
                self.check(done, NONE, frames_captured=300)
                said = done.rows
                self.assertGreater(said["frames delivered"], 0)
                self.assertGreater(said["dropped, viewer too slow"], 0)
                self.assertLessEqual(
                    said["frames delivered"] + said["dropped, viewer too slow"]
                    + said["dropped, packager too slow"], 300)
                self.assertGreater(said["missing between frames seen"], 0)

    def test_a_rate_and_a_duration(self):
        done = run("--size", "64KiB", "--rate", "100", "--duration-ms", "1000")
        self.check(done, NONE + NO_DROPS)
        # Fewer where the machine is busy, and one more that was due at once.
        self.assertGreater(done.rows["frames captured"], 0)
        self.assertLessEqual(done.rows["frames captured"], 110)
        self.assertEqual(done.rows["frames delivered"], done.rows["frames captured"])

    @unittest.skipUnless(shutil.which("ffmpeg"), "no ffmpeg")
    def test_what_ffmpeg_makes(self):
        done = run("--pixels", "320x240", "--viewers", "2", "--source",
                   "ffmpeg:lavfi:testsrc=duration=2:rate=25")
        self.check(done, NONE + NO_DROPS, bytes_of_a_frame=320 * 240 * 4, frames_captured=50,
                   frames_delivered=100)

    @unittest.skipUnless(shutil.which("ffmpeg"), "no ffmpeg")
    def test_a_file_that_ffmpeg_decodes(self):
        with tempfile.TemporaryDirectory() as directory:
            file = os.path.join(directory, "a file: 1.mkv")
            subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i",
                            "testsrc=duration=1:size=640x360:rate=30", "-c:v", "ffv1",
                            "file:" + file], check=True, timeout=60 * PATIENCE)
            done = run("--size", "1MiB", "--source", "ffmpeg:" + file)
            self.check(done, NONE + NO_DROPS, frames_captured=30, frames_delivered=30)

    @unittest.skipUnless(shutil.which("ffmpeg"), "no ffmpeg")
    def test_what_ffmpeg_cannot_decode_fails(self):
        for source in ("ffmpeg:lavfi:no_such_filter", "ffmpeg:" + os.path.abspath(__file__)):
            with self.subTest(source):
                done = run("--source", source)
                self.assertEqual(done.code, 1, done.out)
                self.assertIn("ffmpeg failed", done.err)
                self.assertIn("capture ended with code 1", done.err)
                self.assertEqual(done.rows["slots lost"], 0)

    def test_without_ffmpeg(self):
        with tempfile.TemporaryDirectory() as nothing:
            done = run("--source", "ffmpeg:lavfi:testsrc", path=nothing)
        self.assertEqual(done.code, 1, done.out)
        self.assertIn("apt-get install ffmpeg", done.err)

    def test_a_signal_ends_it_in_order(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number), tempfile.TemporaryDirectory() as directory:
                path = os.path.join(directory, "s")
                process = start("run", "--size", "64KiB", "--socket", path)
                self.assertTrue(eventually(lambda: "capture" in stages_at(path)))
                process.send_signal(number)
                done = Done(process, 60)
                self.check(done, NONE + NO_DROPS)
                self.assertEqual(done.rows["frames delivered"], done.rows["frames captured"])
                self.assertEqual(stages_at(path), {})
                self.assertEqual(os.listdir(directory), [])

    def test_who_is_killed_by_hand_is_started_again(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "s")
            process = start("run", "--size", "64KiB", "--socket", path)
            try:
                for stage in ("capture", "packager", "viewer"):
                    self.assertTrue(eventually(lambda: len(stages_at(path).get(stage, [])) == 1))
                    killed = stages_at(path)[stage][0]
                    os.kill(killed, signal.SIGKILL)
                    self.assertTrue(eventually(
                        lambda: stages_at(path).get(stage, [killed]) != [killed]))
            finally:
                process.terminate()
                done = Done(process, 60)
            self.assertEqual(done.code, 0, done.err)
            self.assertEqual(done.rows["processes started"], 6)
            self.assertEqual(done.rows["frames with wrong bytes"], 0)
            self.assertEqual(done.rows["slots lost"], 0)
            self.assertEqual(done.rows["processes still registered"], 1)

    def test_stages_started_by_hand(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "s")
            broker = start("broker", "--size", "64KiB", "--viewers", "2", "--socket", path)
            self.assertEqual(broker.stdout.readline(), f"ready {path}\n")
            stages = [start(stage, "--socket", path) for stage in ("viewer", "viewer", "packager")]
            capture = start("capture", "--socket", path, "--frames", "300", "--rate", "100")
            self.assertEqual(Done(capture, 60).code, 0)
            second = Done(start("packager", "--socket", path), 60)
            self.assertEqual(second.code, 1)
            self.assertIn("one packager", second.err)
            broker.send_signal(signal.SIGINT)
            done = Done(broker, 60)
            self.check(done, NONE, frames_captured=300, processes_started=0)
            self.assertGreater(done.rows["frames delivered"], 0)
            for each in stages:
                self.assertEqual(Done(each, 60).code, 0)

    def test_stages_end_when_the_broker_is_killed(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "s")
            process = start("run", "--size", "64KiB", "--viewers", "2", "--socket", path)
            self.assertTrue(eventually(lambda: "capture" in stages_at(path)))
            process.kill()
            ended = eventually(lambda: not stages_at(path), 30)
            for pids in stages_at(path).values():
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
            Done(process, 60)
            self.assertTrue(ended)


if __name__ == "__main__":
    assert PROGRAM, "SHM_PIPELINE is not set"
    unittest.main(verbosity=2)
