"""The tables of this lakehouse, one file each, in the folder of its layer."""
