//! As much of MongoDB's filters, updates, pipelines and projections as the queue's protocol uses. What
//! is not known is a panic: a protocol that says more must be understood here first.

use std::cmp::Ordering;

use bson::{Bson, Document};

/// Whether a document matches a filter.
pub(crate) fn matches(document: &Document, filter: &Document) -> bool {
    filter.iter().all(|(path, wanted)| {
        let found = values(document, path);
        match wanted {
            Bson::Document(operators) if is_operators(operators) => {
                operators.iter().all(|(operator, operand)| holds(&found, operator, operand))
            }
            wanted => equals(&found, wanted),
        }
    })
}

fn is_operators(document: &Document) -> bool {
    document.keys().next().is_some_and(|key| key.starts_with('$'))
}

fn holds(found: &[&Bson], operator: &str, operand: &Bson) -> bool {
    let compares = |wanted: &[Ordering]| {
        found.iter().any(|it| compare(it, operand).is_some_and(|order| wanted.contains(&order)))
    };
    match operator {
        "$lt" => compares(&[Ordering::Less]),
        "$lte" => compares(&[Ordering::Less, Ordering::Equal]),
        "$ne" => !equals(found, operand),
        "$exists" => found.is_empty() != operand.as_bool().expect("whether"),
        "$nin" => {
            let mut operands = operand.as_array().expect("an array").iter();
            operands.all(|operand| !equals(found, operand))
        }
        "$elemMatch" => found.iter().any(|it| element(it, operand).is_some()),
        "$size" => found.iter().any(|it| match it {
            Bson::Array(items) => i64::try_from(items.len()).ok() == whole(operand),
            _ => false,
        }),
        other => panic!("the filter operator {other} is not known"),
    }
}

/// Which element of an array is the first that matches.
fn element(array: &Bson, wanted: &Bson) -> Option<usize> {
    let wanted = wanted.as_document().expect("a filter of elements");
    let matches = |it: &Bson| it.as_document().is_some_and(|it| matches(it, wanted));
    array.as_array()?.iter().position(matches)
}

/// None is what is not there, too.
fn equals(found: &[&Bson], wanted: &Bson) -> bool {
    if *wanted == Bson::Null && found.is_empty() {
        return true;
    }
    found.iter().any(|it| *it == wanted || compare(it, wanted) == Some(Ordering::Equal))
}

fn whole(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(n) => Some(i64::from(*n)),
        Bson::Int64(n) => Some(*n),
        _ => None,
    }
}

fn compare(a: &Bson, b: &Bson) -> Option<Ordering> {
    match (a, b) {
        (Bson::DateTime(a), Bson::DateTime(b)) => Some(a.cmp(b)),
        _ => Some(whole(a)?.cmp(&whole(b)?)),
    }
}

/// What is at a path: several, where it leads through an array.
fn values<'a>(document: &'a Document, path: &str) -> Vec<&'a Bson> {
    let (first, rest) = split(path);
    document.get(first).map_or_else(Vec::new, |value| below(value, rest))
}

fn below<'a>(value: &'a Bson, path: Option<&str>) -> Vec<&'a Bson> {
    let Some(path) = path else { return vec![value] };
    match value {
        Bson::Document(document) => values(document, path),
        Bson::Array(items) => {
            let (first, rest) = split(path);
            match first.parse::<usize>() {
                Ok(index) => items.get(index).map_or_else(Vec::new, |item| below(item, rest)),
                Err(_) => items.iter().flat_map(|item| below(item, Some(path))).collect(),
            }
        }
        _ => Vec::new(),
    }
}

fn split(path: &str) -> (&str, Option<&str>) {
    path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)))
}

/// Carries an update out on a document that matches the filter, which says which element of an array
/// it means by `$`.
pub(crate) fn update(document: &mut Document, filter: &Document, update: &Document) {
    let before = document.clone();
    for (operator, fields) in update {
        let fields = fields.as_document().expect("fields");
        for (path, operand) in fields {
            let path = &positioned(&before, filter, path);
            match operator.as_str() {
                "$set" => *place(document, path) = operand.clone(),
                "$unset" => _ = document.remove(path),
                "$inc" => {
                    let place = place(document, path);
                    let before = whole(place).unwrap_or(0);
                    *place = Bson::Int64(before + whole(operand).expect("a whole number"));
                }
                "$push" => match place(document, path) {
                    Bson::Array(items) => items.push(operand.clone()),
                    other => *other = Bson::Array(vec![operand.clone()]),
                },
                other => panic!("the update operator {other} is not known"),
            }
        }
    }
}

/// A path, with the number of the element that the filter found where it says `$`.
fn positioned(document: &Document, filter: &Document, path: &str) -> String {
    let Some((array, rest)) = path.split_once(".$.") else { return path.to_owned() };
    let wanted = filter.get_document(array).expect("a filter of that array");
    let wanted = wanted.get("$elemMatch").expect("one of its elements");
    let at = element(document.get(array).expect("the array"), wanted).expect("it matched");
    format!("{array}.{at}.{rest}")
}

/// The place at a path, made if it is not there.
fn place<'a>(document: &'a mut Document, path: &str) -> &'a mut Bson {
    let (first, rest) = split(path);
    let mut value = document.entry(first.to_owned()).or_insert(Bson::Null);
    let mut path = rest;
    while let Some(here) = path {
        let (first, rest) = split(here);
        if !matches!(value, Bson::Array(_) | Bson::Document(_)) {
            *value = Bson::Document(Document::new());
        }
        value = match value {
            Bson::Array(items) => &mut items[first.parse::<usize>().expect("an index")],
            Bson::Document(document) => document.entry(first.to_owned()).or_insert(Bson::Null),
            _ => unreachable!("made above"),
        };
        path = rest;
    }
    value
}

/// Carries an update out that is a pipeline.
pub(crate) fn pipe(document: &mut Document, stages: &[Document]) {
    for stage in stages {
        for (operator, operand) in stage {
            match (operator.as_str(), operand) {
                ("$set", Bson::Document(fields)) => {
                    let before = document.clone();
                    for (path, expression) in fields {
                        *place(document, path) = worth(&before, expression);
                    }
                }
                ("$unset", Bson::String(path)) => _ = document.remove(path),
                other => panic!("the stage {other:?} is not known"),
            }
        }
    }
}

fn worth(document: &Document, expression: &Bson) -> Bson {
    match expression {
        Bson::String(path) if path.starts_with('$') => {
            values(document, &path[1..]).first().map_or(Bson::Null, |value| (*value).clone())
        }
        Bson::Array(items) => items.iter().map(|item| worth(document, item)).collect(),
        Bson::Document(fields) if is_operators(fields) => {
            let (operator, operand) = fields.iter().next().expect("an operator");
            operate(document, operator, operand)
        }
        Bson::Document(fields) => Bson::Document(
            fields.iter().map(|(key, value)| (key.clone(), worth(document, value))).collect(),
        ),
        other => other.clone(),
    }
}

fn operate(document: &Document, operator: &str, operand: &Bson) -> Bson {
    let operands = || match worth(document, operand) {
        Bson::Array(items) => items,
        one => vec![one],
    };
    match operator {
        "$literal" => operand.clone(),
        "$add" => {
            let all = operands();
            let sum = all.iter().map(|it| whole(it).expect("a whole number")).sum::<i64>();
            match all.iter().any(|it| matches!(it, Bson::Int64(_))) {
                true => Bson::Int64(sum),
                false => Bson::Int32(sum.try_into().expect("a small number")),
            }
        }
        "$size" => match worth(document, operand) {
            Bson::Array(items) => Bson::Int32(items.len().try_into().expect("few")),
            other => panic!("{other} has no size"),
        },
        "$concatArrays" => operands()
            .into_iter()
            .flat_map(|it| match it {
                Bson::Array(items) => items,
                other => panic!("{other} is no array"),
            })
            .collect(),
        other => panic!("the operator {other} is not known"),
    }
}

/// The fields that are asked for, and the id.
pub(crate) fn project(document: &Document, fields: &Document) -> Document {
    let mut projected = Document::new();
    for (key, value) in document {
        if key == "_id" || fields.contains_key(key) {
            projected.insert(key.clone(), value.clone());
            continue;
        }
        let below: Vec<&str> =
            fields.keys().filter_map(|it| it.strip_prefix(key)?.strip_prefix('.')).collect();
        if !below.is_empty() {
            projected.insert(key.clone(), only(value, &below));
        }
    }
    projected
}

fn only(value: &Bson, names: &[&str]) -> Bson {
    match value {
        Bson::Array(items) => items.iter().map(|item| only(item, names)).collect(),
        Bson::Document(document) => {
            let kept = document.iter().filter(|(key, _)| names.contains(&key.as_str()));
            Bson::Document(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        other => other.clone(),
    }
}
