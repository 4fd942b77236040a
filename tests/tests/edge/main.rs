//! The public side under abuse: the rows of the list of abuses, each against real apis with nothing
//! but a database behind them. Every row says what is done, what is expected, and fails without its
//! protection.

mod addresses;
mod admin;
mod bodies;
mod certificates;
mod erasure;
mod export;
mod fields;
mod h2;
mod headers;
mod ids;
mod keys;
mod logs;
mod openapi;
mod organisers;
mod raw;
mod regrades;
mod rows;
mod seats;
mod secrets;
mod smuggling;
mod sockets;
mod stage;
mod streams;
mod tls;
mod webhooks;
