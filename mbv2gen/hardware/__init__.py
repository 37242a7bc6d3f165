"""Hardware: boards, compilers and emulators; programs built of generated C, run, and read back."""
