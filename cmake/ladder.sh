#!/bin/sh
# SPDX-License-Identifier: MIT
# ladder.sh DIRECTORY
#
# Makes a small real HLS ladder: 16 s of test picture and sine, three bitrates, in segments of 4 s
# from about 64 KiB to 2 MiB, as MPEG-TS (DIRECTORY/ts) and as fragmented MP4 (DIRECTORY/fmp4).
# The same ffmpeg gives the same bytes each time: one thread an encoder, and no dates or versions
# in the files. Does nothing when the ladder is there and was made by this recipe.
set -eu

if [ $# -ne 1 ]; then
  echo "usage: $0 DIRECTORY" >&2
  exit 2
fi
recipe=$(cksum <"$0")
mkdir -p "$1"
out=$(cd "$1" && pwd)
# Tests and the demo may ask for the same ladder at once: the second waits, and finds it made.
exec 9>"$out/.lock"
flock 9
if [ "$(cat "$out/.complete" 2>/dev/null)" = "$recipe" ]; then
  exit 0
fi

# Beside the result and not in /tmp, so that moving it into place is one rename.
work=$(mktemp -d "$out/.making.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

seconds=16
segment=4
rate=25
keyframes=$((segment * rate))

# quiet COMMAND...: what it says is shown only when it fails.
quiet() {
  log=$(mktemp "$work/log.XXXXXX")
  if ! "$@" >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    return 1
  fi
}

# encode NAME WIDTH HEIGHT VIDEO_KBIT AUDIO_KBIT LEVEL
# Noise over the test picture makes it as hard to compress as film; without it the encoder would
# fall short of the higher bitrates. Every segment begins with a key frame, and no other is made.
encode() {
  quiet ffmpeg -nostdin -y -filter_threads 1 \
    -f lavfi -i "testsrc2=size=$2x$3:rate=$rate:duration=$seconds,noise=alls=24:allf=t:all_seed=7" \
    -f lavfi -i "sine=frequency=440:beep_factor=4:sample_rate=48000:duration=$seconds" \
    -map 0:v -map 1:a -pix_fmt yuv420p -threads 1 \
    -c:v libx264 -preset veryfast -profile:v main -level:v "$6" \
    -b:v "$4k" -maxrate "$4k" -bufsize "$(($4 * 2))k" \
    -g $keyframes -keyint_min $keyframes -sc_threshold 0 \
    -x264-params threads=1:lookahead-threads=1 \
    -c:a aac -b:a "$5k" -ac 2 \
    -flags:v +bitexact -flags:a +bitexact -fflags +bitexact -map_metadata -1 \
    "$work/$1.mp4"
}

# package NAME: the encoded stream in both containers, without encoding again.
package() {
  quiet ffmpeg -nostdin -y -i "$work/$1.mp4" -map 0 -c copy -fflags +bitexact -map_metadata -1 \
    -f hls -hls_time $segment -hls_playlist_type vod -hls_list_size 0 \
    -hls_segment_filename "$work/ts/$1_%03d.ts" "$work/ts/$1.m3u8"
  quiet ffmpeg -nostdin -y -i "$work/$1.mp4" -map 0 -c copy -fflags +bitexact -map_metadata -1 \
    -f hls -hls_time $segment -hls_playlist_type vod -hls_list_size 0 \
    -hls_segment_type fmp4 -hls_fmp4_init_filename "$1_init.mp4" \
    -hls_segment_filename "$work/fmp4/$1_%03d.m4s" "$work/fmp4/$1.m3u8"
}

# variant FOLDER NAME RESOLUTION CODECS: an entry of the master playlist. BANDWIDTH is the peak: the
# largest segment over its duration.
variant() {
  largest=0
  for file in "$work/$1/$2"_[0-9]*; do
    size=$(wc -c <"$file")
    [ "$size" -le "$largest" ] || largest=$size
  done
  echo "#EXT-X-STREAM-INF:BANDWIDTH=$((largest * 8 / segment)),RESOLUTION=$3,CODECS=\"$4\"," \
    "FRAME-RATE=$rate.000" | tr -d ' '
  echo "$2.m3u8"
}

mkdir "$work/ts" "$work/fmp4"

# Two at a time, the largest beside the two others.
encode high 1280 720 3400 128 3.1 &
high=$!
encode low 320 180 100 32 1.3
encode middle 640 360 900 96 3.0
wait "$high"

for name in low middle high; do
  package "$name"
done
for folder in ts fmp4; do
  {
    echo "#EXTM3U"
    echo "#EXT-X-VERSION:7"
    echo "#EXT-X-INDEPENDENT-SEGMENTS"
    variant $folder low 320x180 "avc1.4d400d,mp4a.40.2"
    variant $folder middle 640x360 "avc1.4d401e,mp4a.40.2"
    variant $folder high 1280x720 "avc1.4d401f,mp4a.40.2"
  } >"$work/$folder/master.m3u8"
done

rm -rf "$out/ts" "$out/fmp4" "$out/.complete"
mv "$work/ts" "$work/fmp4" "$out/"
echo "$recipe" >"$out/.complete"
