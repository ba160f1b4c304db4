"""The ways of proving a visitor, one file each; a method knows no database and no other method."""
