"""JPEG 2000: the structure of a codestream, strict decoding, and Aperio's colours."""
