//! The form in which names are compared: NFKD, lower case, no marks, one space between words.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// How much of a text is looked at; longer than any name of a place.
pub(super) const LIMIT: usize = 120;

/// Folds the first [`LIMIT`] characters of a text.
pub(super) fn fold(text: &str) -> String {
    let letters = text.chars().take(LIMIT);
    // Most names are plain, and the index folds a hundred thousand.
    let folded = if text.is_ascii() { folded(letters) } else { folded(letters.nfkd().take(LIMIT)) };
    spell_out(folded)
}

fn folded(letters: impl Iterator<Item = char>) -> String {
    let mut folded = String::new();
    for letter in letters {
        if letter.is_ascii_alphanumeric() {
            folded.push(letter.to_ascii_lowercase());
            continue;
        }
        if is_combining_mark(letter) || is_silent(letter) {
            continue;
        }
        if !letter.is_alphanumeric() {
            if !folded.is_empty() && !folded.ends_with(' ') {
                folded.push(' ');
            }
            continue;
        }
        match plain(letter) {
            Some(letters) => folded.push_str(letters),
            None => folded.extend(letter.to_lowercase().filter(|c| !is_combining_mark(*c))),
        }
    }
    folded.truncate(folded.trim_end().len());
    folded
}

/// Characters that people leave out: the dots of U.S.A., the apostrophe of Xi'an.
fn is_silent(letter: char) -> bool {
    matches!(letter, '.' | '\'' | '’' | '‘' | 'ʻ' | 'ʼ' | 'ʽ' | '`' | '´' | '\u{200b}'..='\u{200d}')
}

/// Letters that do not decompose, in the letters that people type for them.
fn plain(letter: char) -> Option<&'static str> {
    Some(match letter {
        'ß' | 'ẞ' => "ss",
        'æ' | 'Æ' => "ae",
        'œ' | 'Œ' => "oe",
        'ø' | 'Ø' => "o",
        'đ' | 'Đ' | 'ð' | 'Ð' => "d",
        'þ' | 'Þ' => "th",
        'ł' | 'Ł' => "l",
        'ħ' | 'Ħ' => "h",
        'ı' => "i",
        'ə' | 'Ə' => "e",
        'ς' => "σ",
        _ => return None,
    })
}

/// Writes St, Ft and Mt before another word in full.
fn spell_out(folded: String) -> String {
    let short = |word: &str| match word {
        "st" => Some("saint"),
        "ft" => Some("fort"),
        "mt" => Some("mount"),
        _ => None,
    };
    if !folded.contains("st ") && !folded.contains("ft ") && !folded.contains("mt ") {
        return folded;
    }
    let mut words: Vec<&str> = folded.split(' ').collect();
    let last = words.len() - 1;
    for word in &mut words[..last] {
        *word = short(word).unwrap_or(word);
    }
    words.join(" ")
}
