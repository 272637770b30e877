# tests of this folder's namesake
