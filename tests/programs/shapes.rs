// SPDX-License-Identifier: GPL-2.0-or-later
// Generic code, closures and collections in Rust, for tests/scenario/symbolize.py.
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;

trait Shape { fn area(&self) -> f64; }
struct Square(f64);
struct Circle<T>(T);
impl Shape for Square { fn area(&self) -> f64 { self.0 * self.0 } }
impl<T: Into<f64> + Copy> Shape for Circle<T> {
    fn area(&self) -> f64 { let r: f64 = self.0.into(); r * r * 3.14 }
}
fn show<T: Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("<{}>", item)).collect::<Vec<_>>().join(",")
}
fn main() {
    let shapes: Vec<Box<dyn Shape>> = vec![Box::new(Square(2.0)), Box::new(Circle(1.5f32))];
    let total: f64 = shapes.iter().map(|shape| shape.area()).sum();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut lengths: HashMap<usize, Vec<String>> = HashMap::new();
    for argument in std::env::args() {
        for word in argument.split('/') {
            *counts.entry(word.to_string()).or_insert(0) += 1;
            lengths.entry(word.len()).or_default().push(word.to_uppercase());
        }
    }
    let mut keys: Vec<_> = lengths.keys().cloned().collect();
    keys.sort_by(|a, b| b.cmp(a));
    println!("{} {} {:?} {}", total, counts.len(), keys, show(&keys));
}
