//! Whole exchanges with a server that misbehaves: the right answer, or one line of error, and never the key.

mod answers;
mod connections;
mod fake;
mod key;
mod models;
mod statuses;
mod streams;
mod timeouts;
