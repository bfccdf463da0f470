"""What `harchive doctor` looks at: the machine and the places that the pipeline needs. It changes nothing."""
