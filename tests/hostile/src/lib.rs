//! Answers that a hostile web server gives, to be served by the program in its image and by
//! tests on loopback.
