//! Adds the completion of names that the broker knows to the scripts of clap.
//!
//! Guarantees that without a broker a shell completes as before. The script calls `gridctl
//! complete-names` with the words up to the cursor.

use clap_complete::Shell;

/// Adds the completion of names to a script of clap.
pub(super) fn add_names(shell: Shell, script: String) -> String {
    match shell {
        Shell::Bash => script + BASH,
        // zsh calls the function that is named after the file: clap's becomes a part of it.
        Shell::Zsh => script
            .replace("\n_gridctl() {", "\n_gridctl_words() {")
            .replace("\nif [ \"$funcstack", &format!("{ZSH}\nif [ \"$funcstack")),
        Shell::Fish => script + FISH,
        Shell::Elvish | Shell::PowerShell | _ => script,
    }
}

/// bash splits words at colons, which names of appliances contain: the part before the last colon
/// is already on the line.
const BASH: &str = r#"
_gridctl_names() {
    _gridctl "$@"
    local line=${COMP_LINE:0:COMP_POINT} word keep=""
    [[ -n $line ]] || line="${COMP_WORDS[*]:0:COMP_CWORD+1}"
    local -a words offered=()
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    local last=${words[${#words[@]}-1]}
    [[ $last == *:* && $COMP_WORDBREAKS == *:* ]] && keep=${last%"${last##*:}"}
    for word in "${COMPREPLY[@]}"; do
        # clap also offers placeholders of values.
        [[ $word == "<"* || $word == "["* ]] || offered+=("$word")
    done
    while IFS= read -r word; do
        [[ -n $word ]] && offered+=("${word#"$keep"}")
    done < <("${words[0]}" complete-names "${words[@]:1}" 2>/dev/null)
    COMPREPLY=("${offered[@]}")
}
complete -F _gridctl_names -o bashdefault -o default gridctl
"#;

const ZSH: &str = r#"
_gridctl() {
    local -a names
    names=(${(f)"$(${words[1]} complete-names "${(@Q)words[2,CURRENT]}" 2>/dev/null)"})
    (( $#names )) && compadd -a names
    _gridctl_words "$@"
}
"#;

const FISH: &str = "
complete -c gridctl -a '(gridctl complete-names (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
";
