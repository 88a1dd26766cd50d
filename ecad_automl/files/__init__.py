"""Files that are read with care and written whole: JSON, arrays, tensors, paths."""
