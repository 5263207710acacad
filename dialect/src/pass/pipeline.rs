//! Passes in order, each with its options.

use std::fmt;

/// Passes of a `builtin.module` and of its functions. It prints as MLIR's textual pipeline, `builtin.module(...)` around it
/// left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pipeline {
    pub steps: Vec<Step>,
}

/// One pass, or a pipeline that is registered by a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub name: &'static str,
    /// Whether it runs on each function of the module.
    pub on_functions: bool,
    /// Those that are not at their defaults.
    pub options: Vec<(&'static str, String)>,
}

impl Pipeline {
    /// The same with passes of the module after it.
    #[must_use]
    pub fn on_module(self, names: &[&'static str]) -> Pipeline {
        self.extended(names, false)
    }

    /// The same with passes of each function after it.
    #[must_use]
    pub fn on_functions(self, names: &[&'static str]) -> Pipeline {
        self.extended(names, true)
    }

    fn extended(mut self, names: &[&'static str], on_functions: bool) -> Pipeline {
        self.steps.extend(names.iter().map(|name| Step { name, on_functions, options: vec![] }));
        self
    }

    /// The same with options of its last pass.
    #[must_use]
    pub fn with(mut self, options: Vec<(&'static str, String)>) -> Pipeline {
        if let Some(last) = self.steps.last_mut() {
            last.options.extend(options);
        }
        self
    }

    /// This, then `next`.
    #[must_use]
    pub fn then(mut self, next: Pipeline) -> Pipeline {
        self.steps.extend(next.steps);
        self
    }

    /// What comes before the first pass of a name, and the rest; all of it and nothing where there is none.
    pub fn split_at(mut self, name: &str) -> (Pipeline, Pipeline) {
        let at = self.steps.iter().position(|step| step.name == name).unwrap_or(self.steps.len());
        let rest = self.steps.split_off(at);
        (self, Pipeline { steps: rest })
    }

    /// A pipeline for each pass.
    pub fn passes(self) -> impl Iterator<Item = Pipeline> {
        self.steps.into_iter().map(|step| Pipeline { steps: vec![step] })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name)?;
        if !self.options.is_empty() {
            let options: Vec<String> = self.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
            write!(f, "{{{}}}", options.join(" "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Pipeline {
    /// Neighbours on functions share one `func.func(...)`: a function goes through all of them before the next one does.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (i, group) in self.steps.chunk_by(|a, b| a.on_functions && b.on_functions).enumerate() {
            let text = group.iter().map(Step::to_string).collect::<Vec<_>>().join(",");
            let comma = if i > 0 { "," } else { "" };
            match group[0].on_functions {
                true => write!(f, "{comma}func.func({text})")?,
                false => write!(f, "{comma}{text}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Pipeline;

    #[test]
    fn text() {
        let pipeline = Pipeline::default()
            .on_functions(&["a", "b"])
            .on_module(&["c"])
            .with(vec![("x", "1".into()), ("y", "z+w".into())])
            .on_module(&["d"])
            .on_functions(&["e"]);
        assert_eq!(pipeline.to_string(), "func.func(a,b),c{x=1 y=z+w},d,func.func(e)");
        let (before, rest) = pipeline.clone().split_at("d");
        assert_eq!(
            (before.to_string().as_str(), rest.to_string().as_str()),
            ("func.func(a,b),c{x=1 y=z+w}", "d,func.func(e)")
        );
        assert_eq!(pipeline.clone().split_at("none"), (pipeline.clone(), Pipeline::default()));
        let passes: Vec<String> = pipeline.passes().map(|pass| pass.to_string()).collect();
        assert_eq!(passes, ["func.func(a)", "func.func(b)", "c{x=1 y=z+w}", "d", "func.func(e)"]);
    }
}
