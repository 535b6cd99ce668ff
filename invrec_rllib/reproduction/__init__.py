"""The record: declared experiments made again by a command, from training to the numbers that documents print."""
