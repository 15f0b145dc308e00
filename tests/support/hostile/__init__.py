"""Files of strangers: how they are damaged, opened under guard, and compared with other readers."""
