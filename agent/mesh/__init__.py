"""Can this part be printed here? Mesh files in, findings, pictures and a verdict out; heavy work in a child process."""
