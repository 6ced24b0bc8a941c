"""Checks of values from outside: arguments, masks, pixels, images, plain values, the machine."""
