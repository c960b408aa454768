"""One toy of each kind of plug-in, for test_one_file.py to copy into a copy of the program."""
