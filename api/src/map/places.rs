//! The names of places, each kept once, and how many pins stand there.

use std::{mem::size_of, sync::Arc};

use super::ranked::Ranked;

/// The names.
#[derive(Debug, Default)]
pub(super) struct Places {
    names: Vec<Name>,
    /// In the order of the alphabet.
    order: Ranked<u32>,
    free: Vec<u32>,
    /// How many of them have pins that are shown.
    shown: usize,
}

#[derive(Debug)]
struct Name {
    text: Arc<str>,
    /// How many pins have it, and how many of these are shown.
    used: u32,
    shown: u32,
}

impl Places {
    /// The number of a name, for one pin more.
    pub(super) fn take(&mut self, name: &str) -> u32 {
        let at = self.order.first_not(|number| self.names[*number as usize].text.as_ref() < name);
        let there = self.order.get(at).filter(|number| self.text(*number).as_ref() == name);
        if let Some(number) = there {
            self.names[number as usize].used += 1;
            return number;
        }
        let new = Name { text: Arc::from(name), used: 1, shown: 0 };
        let number = if let Some(number) = self.free.pop() {
            self.names[number as usize] = new;
            number
        } else {
            self.names.push(new);
            u32::try_from(self.names.len() - 1).unwrap_or(u32::MAX)
        };
        self.order.insert(at, number);
        number
    }

    /// One pin less has it.
    pub(super) fn let_go(&mut self, number: u32) {
        let name = &mut self.names[number as usize];
        name.used -= 1;
        if name.used > 0 {
            return;
        }
        let text = Arc::clone(&name.text);
        let at = self.order.first_not(|number| self.names[*number as usize].text < text);
        self.order.remove(at);
        self.names[number as usize].text = Arc::from("");
        self.free.push(number);
    }

    /// One more of its pins is shown.
    pub(super) fn show(&mut self, number: u32) {
        let name = &mut self.names[number as usize];
        self.shown += usize::from(name.shown == 0);
        name.shown += 1;
    }

    /// One less of its pins is shown.
    pub(super) fn hide(&mut self, number: u32) {
        let name = &mut self.names[number as usize];
        name.shown -= 1;
        self.shown -= usize::from(name.shown == 0);
    }

    /// The name.
    pub(super) fn text(&self, number: u32) -> &Arc<str> {
        &self.names[number as usize].text
    }

    /// How many have pins that are shown.
    pub(super) fn shown(&self) -> usize {
        self.shown
    }

    /// How much memory it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        // A shared text has two counts before it.
        let texts = self.names.iter().map(|name| name.text.len() + 2 * size_of::<usize>());
        let numbers = self.free.capacity() * size_of::<u32>();
        let names = self.names.capacity() * size_of::<Name>();
        texts.sum::<usize>() + names + numbers + self.order.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_and_while_it_is_used() {
        let mut places = Places::default();
        let [paris, rome] = ["Paris", "Rome"].map(|name| places.take(name));
        assert_eq!((places.take("Paris"), places.shown()), (paris, 0));
        places.show(paris);
        places.show(paris);
        places.show(rome);
        assert_eq!(places.shown(), 2);
        places.hide(paris);
        places.let_go(paris);
        assert_eq!((places.shown(), &**places.text(paris)), (2, "Paris"));
        places.hide(paris);
        places.let_go(paris);
        assert_eq!((places.shown(), &**places.text(paris)), (1, ""));
        let oslo = places.take("Oslo");
        assert_eq!((oslo, &**places.text(rome)), (paris, "Rome"), "its number is given again");
        assert_eq!(places.order.iter().collect::<Vec<_>>(), [oslo, rome]);
    }
}
