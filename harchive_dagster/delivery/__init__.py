"""What leaves the house: pseudonymised copies and the catalogue of published tables."""
