"""What is wrong with the photos: found, told, and listed for leaving out; nothing is changed."""
