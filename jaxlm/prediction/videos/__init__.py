"""Videos: their frames in, faces followed from frame to frame and smoothed, and videos with their points out.

In: files of any kind that FFmpeg reads, a `Landmarker`. Out: tracks with times, and H.264 (or VP9) with sound.
"""
