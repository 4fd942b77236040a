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
mod front_certificate;
mod front_limits;
mod front_log;
mod front_plain;
mod front_stage;
mod front_through;
mod front_tls;
mod h2;
mod headers;
mod ids;
mod keys;
mod logs;
mod openapi;
mod organisers;
mod page;
mod raw;
mod regrades;
mod rows;
mod seats;
mod secrets;
mod smuggling;
mod sockets;
mod stage;
mod streams;
mod surge;
mod tls;
mod webhooks;
