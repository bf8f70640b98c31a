// Questions to try, by the label that answers them.

export const EXAMPLES = {
  "biology": "How do plants turn sunlight into sugar?",
  "law": "What are the principles of contract law?",
  "physics": "Why does a skater spin faster with the arms pulled in?",
  "psychology": "Why do people remember the first and last items of a list best?",
  "economics": "How does a price ceiling lead to shortages?",
  "math": "How many ways can 8 people sit around a round table?",
  "computer science": "What is the worst-case running time of quicksort?",
  "history": "Which treaty ended the Thirty Years' War?",
  "chemistry": "Why does adding salt lower the freezing point of water?",
  "engineering": "What causes fatigue cracks in a steel beam?",
  "health": "What are the early signs of type 2 diabetes?",
  "philosophy": "Does Kant think that lying can ever be right?",
  "business": "How should a company price a new product?",
  "other": "Which country has won the most World Cups?"
};

// A request of no subject, for models that tell.
export const NO_SUBJECT = "Book me a table for two tonight.";
