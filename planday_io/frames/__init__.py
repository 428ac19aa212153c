"""JSON rows to typed frames. See `planday_io.frames.build.FrameBuilder`."""
