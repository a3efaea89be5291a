//! The sinks of a line as Python's side sees them, those that a change took off it included.
//!
//! A sink that was taken off writes on what it has; when it has ended, its last figures stay under its name, and nothing
//! else of it does. So many names are remembered; earlier ones become one.

use std::sync::Weak;

use lc_io::tap::VifHandle;

use crate::sinks::{Figures, Sink, SinkView};

/// Names of sinks that have ended: older ones are counted together.
const NAMES: usize = 32;

/// The name of those that are counted together.
const EARLIER: &str = "file:(earlier)";

struct View {
    name: String,
    view: SinkView,
    life: Weak<()>,
    /// Taken off the line: nothing more is offered to it.
    removed: bool,
}

/// Every sink that the line has or had.
pub struct Views {
    there: Vec<View>,
    ended: Vec<(String, Figures)>,
}

impl Views {
    /// Those that the line begins with.
    pub fn of(sinks: &[Sink]) -> Self {
        let mut views = Self { there: Vec::new(), ended: Vec::new() };
        views.add(sinks);
        views
    }

    /// Sinks that begin.
    pub fn add(&mut self, sinks: &[Sink]) {
        let view = |s: &Sink| View { name: s.name().to_owned(), view: s.view(), life: s.life(), removed: false };
        self.there.extend(sinks.iter().map(view));
        self.settle();
    }

    /// Sinks of these names are taken off the line.
    pub fn remove(&mut self, names: &[String]) {
        self.there.iter_mut().filter(|v| names.contains(&v.name)).for_each(|v| v.removed = true);
    }

    /// Ends their waits.
    pub fn stop(&self) {
        self.there.iter().for_each(|v| v.view.stop());
    }

    /// The interface that is on the line.
    pub fn vif(&self) -> Option<VifHandle> {
        self.there.iter().filter(|v| !v.removed).find_map(|v| v.view.vif())
    }

    /// What each name counts.
    pub fn figures(&mut self) -> Vec<(String, Figures)> {
        self.settle();
        let mut found = self.ended.clone();
        for v in &self.there {
            put(&mut found, v.name.clone(), v.view.figures(v.removed));
        }
        found
    }

    /// Keeps no more than the figures of those that have ended.
    fn settle(&mut self) {
        let ended = &mut self.ended;
        self.there.retain(|v| {
            let over = v.removed && v.life.strong_count() == 0;
            if over {
                put(ended, v.name.clone(), v.view.figures(true));
            }
            !over
        });
        while self.ended.len() > NAMES {
            let oldest = self.ended.iter().position(|(name, _)| name.starts_with("file:") && name != EARLIER);
            let Some(oldest) = oldest else { return };
            let (_, figures) = self.ended.remove(oldest);
            put(&mut self.ended, EARLIER.to_owned(), figures);
        }
    }
}

/// Figures of one name are added up; levels are the last one's.
fn put(found: &mut Vec<(String, Figures)>, name: String, figures: Figures) {
    match found.iter_mut().find(|(known, _)| *known == name) {
        Some((_, before)) => *before = figures.after(before),
        None => found.push((name, figures)),
    }
}
