//! The settings of a machine that runs strangers' containers (`infra/nodes`): that the script
//! installs, finds and takes back each of them, that the packet filter holds, and that an engine
//! takes its part. Everything happens in folders and in network and mount namespaces of the tests'
//! own, which have no way out; nothing of the machine's own settings is changed. Takes root.

mod engine;
mod files;
mod filter;
mod images;
mod live;
mod manager;
mod space;
