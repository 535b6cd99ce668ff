"""What is best possible: newsvendor, lost sales with lead times, exact dynamic programs, a fluid upper bound."""
