"""Following faces through a stream of frames."""
