//! Portcall's public side: validates, admits, stores, answers, streams. It never talks to Docker.
//!
//! [`router`] has every address; a request goes through an extractor ([`extract`]), a handler
//! ([`routes`]), for a submission through [`intake`] and [`admission`] to the store, and back as a
//! view ([`views`]) or a problem ([`problem`]). Beside the requests [`map::follow`] feeds the map
//! and the live streams from the store's changes.

pub mod admission;
pub mod auth;
pub mod away;
pub mod cache;
pub mod certificates;
pub mod client;
pub mod cors;
pub mod csv;
pub mod docs;
pub mod etag;
pub mod extract;
pub mod intake;
pub mod lately;
pub mod layers;
pub mod listen;
pub mod live;
pub mod map;
pub mod numbers;
pub mod openapi;
pub mod peer;
pub mod problem;
pub mod queue;
pub mod rates;
pub mod refusals;
pub mod reply;
pub mod router;
pub mod routes;
pub mod serve;
pub mod settings;
pub mod state;
pub mod strict;
pub mod views;
pub mod waiting;
pub mod webhooks;
