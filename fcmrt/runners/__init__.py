"""Libraries that run the networks, one file each; imported when used."""
