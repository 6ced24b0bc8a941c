"""Arrays of pixels in, arrays out: colours, and averages over areas."""
