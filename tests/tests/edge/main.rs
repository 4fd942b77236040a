//! The public side under abuse: the rows of the list of abuses, each against real apis with nothing
//! but a database behind them. Every row says what is done, what is expected, and fails without its
//! protection.
