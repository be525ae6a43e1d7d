"""One package per vendor, all with the same file names; each speaks its vendor's protocol and nothing else."""
