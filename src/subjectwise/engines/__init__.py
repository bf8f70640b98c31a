"""One forward pass behind a cached prefix. Engines know token ids; they know no strings and no questions."""
