//! Nodes: what each said of itself, and what the canary found there.
