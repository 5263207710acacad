//! Checks a program before anything of it is trusted.
