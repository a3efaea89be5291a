//! Other selectors while calls are in progress.

use super::Calls;
use crate::call::Call;
use crate::select::Selection;
use crate::slab::Ref;
use crate::verdict::Verdicts;

impl Calls {
    /// The selectors change. Calls in progress that the new ones name are selected from now on, with all that is still
    /// held of them; those that are no longer named go on to their end. A pattern with a host, whose call began before,
    /// is found at that call's next message.
    pub fn reselect(&mut self, v: &mut impl Verdicts, selection: Selection, now: u64) {
        self.selection = selection;
        let named = |(call, c): (Ref, &Call)| {
            let named = !c.selected && self.selection.names_call(c.id(), c.users());
            named.then_some(call)
        };
        let named: Vec<Ref> = self.table.iter().filter_map(named).collect();
        named.into_iter().for_each(|call| self.choose(v, call, now));
    }
}
