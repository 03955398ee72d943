"""Many runs of variants of a config -> a table and figures."""
