"""The program that fetches source and datasets, against real servers."""
