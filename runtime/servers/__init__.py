"""Real servers run as child processes from installed packages: no Docker, no root, no setup."""
