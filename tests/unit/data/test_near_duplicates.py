from subjectwise.data.near_duplicates import fold_text, near_duplicate_groups


def test_folding_forgets_case_punctuation_and_space() -> None:
    assert fold_text("What  is_it?!") == fold_text("what is it") == "what is it"
    assert fold_text("+ - =") == "+ - ="


def test_duplicates_near_duplicates_and_others() -> None:
    base = "A sample of gas expands from one litre to two litres at constant pressure and the work done is asked"
    texts = ["What is it?", "what is it", base + " now", base + " here", "Something else altogether"]
    groups = near_duplicate_groups(texts)
    assert groups[0] == groups[1]
    assert groups[2] == groups[3]
    assert len(set(groups)) == 3
    exact = near_duplicate_groups(texts, threshold=1.0)
    assert exact[0] == exact[1] and exact[2] != exact[3]
